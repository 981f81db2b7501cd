"""A large database is not filled on a disk that is too small for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.large_database import NoRoom, Size, require_room

ROOT = Path(__file__).parents[2]


def test_the_needed_and_the_free_space_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(NoRoom, match="set TMPDIR to another disk"):
        require_room(tmp_path, Size(customers=0, events=10**12, entries=1))
    assert f"needs 805007.0 GB in {tmp_path}" in capsys.readouterr().out


def test_the_history_counts_most() -> None:
    few, many = Size(entries=2), Size(entries=10)
    assert many.bytes - few.bytes > 20_000_000_000


def test_a_run_without_room_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "benchmarks", "--only", "retention", "--scale", "100000")
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "did not run" in done.stdout
    assert "GB are free" in done.stdout
    assert list(tmp_path.iterdir()) == []
