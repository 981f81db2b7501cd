"""The limit of open files."""

import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("resource", reason="there are no such limits here")


def run(code: str) -> list[int]:
    """Run code in a separate process, whose limits it may change."""
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    return [int(word) for word in found.stdout.split()]


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    soft, hard, left = run("""
        import resource
        from zenskar.api import open_files
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 700))
        open_files.raise_limit()
        print(*resource.getrlimit(resource.RLIMIT_NOFILE), open_files.remaining())
    """)
    assert (soft, hard) == (700, 700)
    assert 600 < left < 700


def test_a_high_limit_stays() -> None:
    soft, hard = run("""
        import resource
        from zenskar.api import open_files
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        open_files.raise_limit()
        print(*resource.getrlimit(resource.RLIMIT_NOFILE))
    """)
    assert soft == hard


def test_files_that_are_open_are_counted() -> None:
    before, after = run("""
        from zenskar.api import open_files
        before = open_files.remaining()
        kept = [open("/dev/null") for _ in range(20)]
        print(before, open_files.remaining())
    """)
    assert before - after == 20
