"""A repair that was planned does exactly the planned, and nothing where a side has changed."""

from pathlib import Path

import pytest

from tests.support.drift import execute, factory, lose_what_waits, names, synced
from tests.support.fake import FakeError
from tests.support.flow import Flow, running_worker
from zenskar import FailureKind
from zenskar.errors import InvalidInput, StateConflict
from zenskar.model.missing import Missing
from zenskar.ops.plan_file import read_plan, write_plan
from zenskar.ops.plan_result import PlanResult
from zenskar.ops.repair.repair_plan import RepairPlan
from zenskar.sync.reconcile.field_fate import FieldFate
from zenskar.sync.reconcile.repair_action import RepairAction


async def plan(flow: Flow, missing: Missing | None = None, *, force: bool = False) -> RepairPlan:
    planner = factory(flow).repair_planner(settle_seconds=0.0)
    return await planner.plan("fake", "customer", missing=missing, force=force)


async def apply(flow: Flow, made: RepairPlan) -> PlanResult:
    return await factory(flow).repair_applier(wait_seconds=10).apply(made)


def counts_of(made: RepairPlan) -> dict[str, int]:
    return {kind: count for kind, count in made.counts.items() if count}


async def test_every_repair_is_planned_without_an_effect_and_then_made(
    database_url: str, tmp_path: Path
) -> None:
    async with synced(database_url, 6, propagate_deletes=True) as (flow, system):
        system.create(name="New there")
        system.edit("obj_0", name="There", phone="1")
        await execute(
            flow, "UPDATE customers SET name = 'Here', email = 'h@e' WHERE name = 'Customer 0'"
        )
        await execute(flow, "UPDATE customers SET phone = '2' WHERE name = 'Customer 1'")
        system.objects["obj_4"] = None
        del system.objects["obj_6"]
        await execute(flow, "UPDATE customers SET deleted_at = now() WHERE name = 'Customer 4'")
        await flow.create(name="New here")
        await lose_what_waits(flow)
        system.webhooks.clear()
        events = await flow.scalar("SELECT count(*) FROM sync_events")
        made = await plan(flow, force=True)
        assert counts_of(made) == {
            "create_here": 1,
            "create_there": 1,
            "merge": 2,
            "delete_here": 1,
            "delete_there": 1,
            "left": 1,
        }
        assert made.left[0]["external_id"] == "obj_6"
        assert made.fields == {
            "/email": {"sent_there": 1},
            "/name": {"conflict_internal": 1},
            "/phone": {"sent_there": 1, "taken_here": 1},
        }
        assert (system.calls, len(await names(flow))) == ([], 6)
        assert await flow.scalar("SELECT count(*) FROM sync_events") == events
        write_plan(tmp_path / "plan.json", "reconcile", [made.to_json()])
        assert "There" not in (tmp_path / "plan.json").read_text()
        (read,) = map(RepairPlan.from_json, read_plan(tmp_path / "plan.json", "reconcile"))
        async with running_worker(flow.runtime):
            result = await apply(flow, read)
            assert (result.steps, result.done, result.skipped) == (6, 6, [])
            again = await apply(flow, read)
            assert (again.done, again.already_done, again.skipped) == (0, 6, [])
        expected = ["Customer 1", "Customer 3", "Customer 5", "Here", "New here", "New there"]
        assert await names(flow) == expected
        there = sorted(data["name"] for data in system.objects.values() if data is not None)
        assert there == [name for name in expected if name != "Customer 3"]
        left = await plan(flow)
        assert counts_of(left) == {"left": 1}


async def test_a_step_whose_sides_have_changed_is_skipped(database_url: str) -> None:
    async with synced(database_url, 5) as (flow, system):
        for number in range(4):
            system.edit(f"obj_{2 * number}", phone=str(number))
        system.webhooks.clear()
        made = await plan(flow)
        assert counts_of(made) == {"merge": 4}
        ids = {step.external_id: step.record_id for step in made.steps}
        system.edit("obj_0", phone="9")
        await flow.runtime.customers.patch(
            ids["obj_2"] or "", {"email": "e@x.org"}, correlation_id="test"
        )
        await lose_what_waits(flow)
        system.objects["obj_4"] = {"name": 5}
        # A new difference is not part of the plan.
        system.edit("obj_8", phone="8")
        system.webhooks.clear()
        async with running_worker(flow.runtime):
            result = await apply(flow, made)
        assert {each.external_id: each.why.split(":")[0] for each in result.skipped} == {
            "obj_0": "the object was changed",
            "obj_2": "the record was changed",
            "obj_4": "the object cannot be read",
        }
        assert result.done == 1
        phones = await flow.rows("SELECT phone FROM customers WHERE phone IS NOT NULL")
        assert phones == [{"phone": "3"}]
        assert system.calls == []


@pytest.mark.parametrize(
    ("missing", "kind", "left"),
    [
        (Missing.RECREATE, RepairAction.CREATE_THERE, 3),
        (Missing.DELETE, RepairAction.DELETE_HERE, 2),
    ],
)
async def test_a_plan_holds_the_choice_for_missing_objects(
    database_url: str, missing: Missing, kind: RepairAction, left: int
) -> None:
    async with synced(database_url, 3) as (flow, system):
        del system.objects["obj_2"]
        made = await plan(flow, missing)
        assert [(s.kind, s.external_id) for s in made.steps] == [(kind, "obj_2")]
        async with running_worker(flow.runtime):
            result = await apply(flow, made)
            assert (result.done, result.skipped) == (1, [])
            assert (await apply(flow, made)).already_done == 1
        assert len(await names(flow)) == left
        assert len(system.calls) == (missing is Missing.RECREATE)


async def test_an_object_that_carries_the_id_of_a_record_is_one_link(database_url: str) -> None:
    async with synced(database_url, 0) as (flow, system):
        record_id = await flow.create(name="Ada", email="here@example.com")
        await lose_what_waits(flow)
        system.create(name="Ada", phone="1", record_id=record_id)
        made = await plan(flow)
        (step,) = made.steps
        assert (step.kind, step.external_id) == (RepairAction.LINK, "obj_0")
        assert step.fields == {"/email": FieldFate.THERE, "/phone": FieldFate.HERE}
        async with running_worker(flow.runtime):
            assert (await apply(flow, made)).done == 1
            await flow.settle()
        assert system.objects["obj_0"] is not None
        assert system.objects["obj_0"]["email"] == "here@example.com"


async def test_a_matching_object_is_one_link(database_url: str) -> None:
    by_email = {"FAKE_MATCH_BY": "email"}
    async with synced(database_url, 0, environment=by_email) as (flow, system):
        record_id = await flow.create(name="Ada", email="ada@example.com")
        await lose_what_waits(flow)
        system.create(name="Ada", email="ada@example.com", phone="1")
        made = await plan(flow)
        (step,) = made.steps
        assert (step.kind, step.record_id, step.record_version) == (
            RepairAction.LINK,
            record_id,
            1,
        )
        assert step.fields == {"/phone": FieldFate.HERE}
        await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="test")
        await lose_what_waits(flow)
        async with running_worker(flow.runtime):
            (skipped,) = (await apply(flow, made)).skipped
            assert skipped.why == "the record was changed"
            assert (await apply(flow, await plan(flow))).done == 1
            assert (await flow.mapping(record_id))["external_id"] == "obj_0"


async def test_a_plan_stops_before_too_many_missing_objects(database_url: str) -> None:
    async with synced(database_url, 2) as (flow, system):
        for name in list(system.objects):
            system.objects[name] = None
        with pytest.raises(StateConflict, match="--force"):
            await plan(flow)
        assert counts_of(await plan(flow, force=True)) == {"delete_here": 2}


async def test_a_run_that_stops_is_completed_by_the_next_one(database_url: str) -> None:
    async with synced(database_url, 60, retry_max_attempts=1) as (flow, system):
        for external_id in list(system.objects):
            system.edit(external_id, phone="1")
        system.webhooks.clear()
        made = await plan(flow)
        before = len(system.fetches)

        def refuse(hook: str, _about: str | None) -> None:
            if hook == "fetch" and len(system.fetches) - before > 100:
                raise FakeError(FailureKind.CREDENTIALS)

        system.reading = refuse
        async with running_worker(flow.runtime):
            stopped = await apply(flow, made)
            assert (stopped.done, stopped.problem) == (50, "fake credentials")
            system.reading = lambda _hook, _about: None
            result = await apply(flow, made)
        assert (result.done, result.already_done, result.problem) == (10, 50, None)


def test_a_plan_that_was_changed_is_refused() -> None:
    body = RepairPlan("1", "fake", "customer", None, None).to_json()
    assert RepairPlan.from_json(body).id == "1"
    with pytest.raises(InvalidInput, match="make it again"):
        RepairPlan.from_json(body | {"steps": [{"kind": "other"}]})
