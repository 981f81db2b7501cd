#!/usr/bin/env bash
# Dump the database at the start and every BACKUP_SECONDS. A dump that cannot be read is not kept,
# and old dumps are deleted after a good dump only.
#   --once    one dump; exit code 1 if it fails
#   --check   exit code 1 without a dump of the last two intervals
set -euo pipefail
umask 077
directory=${BACKUP_DIR:-/backups}
seconds=${BACKUP_SECONDS:-86400}
days=${BACKUP_KEEP_DAYS:-14}

dump() {
	local file="$directory/zenskar-$(date -u +%Y%m%dT%H%M%SZ).dump"
	if pg_dump --format=custom --file="$file.part" && pg_restore --list "$file.part" >/dev/null; then
		mv "$file.part" "$file"
		find "$directory" -name 'zenskar-*.dump' -mtime "+$days" -delete
		echo "wrote $file"
	else
		rm -f "$file.part"
		echo "the dump failed" >&2
		return 1
	fi
}

if [[ ${1:-} == --check ]]; then
	test -n "$(find "$directory" -name 'zenskar-*.dump' -mmin "-$((2 * seconds / 60 + 1))")"
	exit
fi
if [[ -n ${PGPASSWORD_FILE:-} ]]; then
	PGPASSWORD=$(<"$PGPASSWORD_FILE")
	export PGPASSWORD
fi
if [[ ${1:-} == --once ]]; then
	dump
	exit
fi
trap 'exit 0' TERM INT
while :; do
	dump || true
	sleep "$seconds" &
	wait $!
done
