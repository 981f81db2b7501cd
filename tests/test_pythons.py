"""The list of the Pythons that the suite runs on."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import pythons

Make = Callable[[str, str], str]


@pytest.fixture
def python(tmp_path: Path) -> Make:
    """Make a Python that only runs a shell command."""

    def make(name: str, command: str) -> str:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{command}\n")
        path.chmod(0o755)
        return str(path)

    return make


def test_this_python_has_no_problem() -> None:
    assert pythons.problem(sys.executable) is None


def test_the_newest_python_that_works_is_listed_and_others_are_told_in_one_line(
    python: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    works = python("works", "exit 0")
    lacks = python("lacks", "printf 'Traceback:\\nNo module named ensurepip\\n' >&2; exit 1")
    silent = python("silent", "exit 3")
    found = {(3, 12): [lacks, works], (3, 13): [silent, lacks], (3, 14): ["/nowhere/python"]}
    monkeypatch.setattr(pythons, "installed", lambda: found)
    pythons.main()
    listed, told = capsys.readouterr()
    assert listed.splitlines() == [f"3.12 {works}"]
    first, second = told.splitlines()
    assert "3.13" in first
    assert f"{silent}: exit code 3; {lacks}: No module named ensurepip" in first
    assert "3.14" in second
    assert "/nowhere/python" in second
