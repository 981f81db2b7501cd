"""A small disk that a test fills."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_FILLER = "filler"


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a small disk on a folder, and skip the test where that is not possible."""
    folder.mkdir(exist_ok=True)
    options = f"size={megabytes}m,mode=0711"
    mount = ("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk, and not everywhere")
    try:
        yield folder
    finally:
        subprocess.run(("umount", "-l", folder), check=True)


def fill(disk: Path) -> None:
    """Take the whole space of a disk."""
    with suppress(OSError), (disk / _FILLER).open("ab", buffering=0) as opened:
        while True:
            opened.write(b"x" * 4096)


def empty(disk: Path) -> None:
    """Free the space again."""
    (disk / _FILLER).unlink()
