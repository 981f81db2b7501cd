"""Limit of open files and connections of a process."""

import sys
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    import resource

_ENOUGH = 65_536
_USUAL = 1024


def raise_limit() -> None:
    """Raise the soft limit of open files to the hard limit, at most 65,536."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # A container may refuse a limit that getrlimit reports as allowed.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def remaining() -> int:
    """Return how many more files this process may open."""
    if sys.platform == "win32":
        return _USUAL
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (_ENOUGH if soft == resource.RLIM_INFINITY else soft) - _in_use()


def _in_use() -> int:
    try:
        return sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        return 64
