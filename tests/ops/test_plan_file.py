"""The file of a plan is new, private, and refused when it is not a plan."""

import stat
from pathlib import Path

import pytest

from zenskar.errors import InvalidInput
from zenskar.ops.plan_file import check_new, read_plan, write_plan


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    check_new(path)
    write_plan(path, "backfill", [{"id": "1"}])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_plan(path, "backfill") == [{"id": "1"}]
    for write in (lambda: check_new(path), lambda: write_plan(path, "backfill", [])):
        with pytest.raises(InvalidInput, match="exists"):
            write()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file"),
        ("{", "holds no plan"),
        ("[]", "holds no plan of backfill"),
        ('{"kind": "other", "layout": 1, "plans": []}', "holds no plan of backfill"),
        ('{"kind": "backfill", "layout": 9, "plans": []}', "another release"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: str | None, problem: str) -> None:
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidInput, match=problem):
        read_plan(path, "backfill")


def test_a_file_in_no_folder_is_refused_before_the_plan_is_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no folder"):
        check_new(tmp_path / "missing" / "plan.json")
    with pytest.raises(InvalidInput):
        write_plan(tmp_path / "missing" / "plan.json", "backfill", [])
