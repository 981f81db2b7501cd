"""The file of a plan is new, private, and refused when it is not a plan."""

import stat
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from zenskar.errors import InvalidInput
from zenskar.ids import new_id
from zenskar.ops.join.join_plan import JoinPlan, JoinStep, JoinStepKind
from zenskar.ops.plan_file import check_new, read_plan, write_plan
from zenskar.ops.repair.repair_plan import RepairPlan, RepairStep
from zenskar.ops.retry_plan import RetryPlan, RetryStep
from zenskar.sync.reconcile.repair_action import RepairAction


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
        ('{"kind": "backfill", "layout": 1}', "holds no plan of backfill"),
        ('{"kind": "backfill", "layout": 1, "plans": []}', "holds no plan of backfill"),
        ('{"kind": "backfill", "layout": 1, "plans": {"id": "1"}}', "holds no plan of backfill"),
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


def _retry(**changed: Any) -> None:
    step = RetryStep(new_id(), datetime.now(UTC), "fake", "inbound", "x", None, None, None, None)
    body = {**asdict(step), "dead_since": step.dead_since.isoformat(), **changed}
    RetryPlan.from_json({"steps": [body], "unreadable": []})


def _repair(**changed: Any) -> None:
    step = RepairStep(RepairAction.MERGE, "x1", new_id())
    plan = RepairPlan("1", "fake", "customer", None, None, steps=(step,)).to_json()
    RepairPlan.from_json(plan | {"steps": [{**plan["steps"][0], **changed}]})


def _join(**changed: Any) -> None:
    step = JoinStep(JoinStepKind.LINK, new_id(), "x1")
    plan = JoinPlan("1", "fake", "customer", None, (), steps=(step,)).to_json()
    JoinPlan.from_json(plan | {"steps": [{**plan["steps"][0], **changed}]})


@pytest.mark.parametrize("read", [_retry, _repair, _join])
def test_a_step_that_names_no_record_is_refused_before_the_first_step(
    read: Callable[..., None],
) -> None:
    read()
    for record_id in ("x", 7, ["x"]):
        with pytest.raises(InvalidInput, match="not complete"):
            read(record_id=record_id)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not complete"):
        _retry(dead_since="2030-01-31T00:00:00")
