"""A connection whose profile has a filter, beside one without: docs/kernel.md, "Filters"."""

import random
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake import FakeError, FakeSystem
from tests.support.flow import Flow
from tests.sync.test_profiles import both, compared, deliver, edit
from zenskar import FailureKind, IntentKind, kernel
from zenskar.cli.render.explain_text import explanation_lines
from zenskar.db.events.event_log import EventFilter
from zenskar.errors import SchemaViolation, StateConflict
from zenskar.model.actor import Actor
from zenskar.model.missing import Missing
from zenskar.ops.explain.explainer import explain
from zenskar.ops.replay import Replay
from zenskar.schema_catalog import Schema, core_schemas
from zenskar.sync.reconcile.report import Report

PRO, FREE = {"metadata": {"plan": "pro"}}, {"metadata": {"plan": "free"}}
PROFILE = """
[customer.filter.schema]
required = ["metadata"]
properties.metadata.required = ["plan"]
properties.metadata.properties.plan.const = "pro"

[customer.fields."/phone"]
schema.pattern = "^[+]"
"""
OUTSIDE, ACTIVE = ("outside", True), ("active", True)


async def link(flow: Flow, record_id: str) -> tuple[str, bool]:
    """Return the state at `crm`, which the explanation has to share."""
    view = await flow.runtime.customers.get(record_id)
    (found,) = (each for each in view["external"] if each["source_system"] == "crm")
    explained = {
        s.source_system: s for s in (await explain(flow.runtime.engine, record_id)).systems
    }
    assert (explained["crm"].state, explained["crm"].in_sync) == (found["state"], found["in_sync"])
    return found["state"], found["in_sync"]


async def patch(flow: Flow, record_id: str, **changes: Any) -> None:
    await flow.runtime.customers.patch(record_id, changes, correlation_id="t")
    await deliver(flow)


async def told(flow: Flow, record_id: str) -> str:
    found = await explain(flow.runtime.engine, record_id)
    return "\n".join(line.text for line in explanation_lines(found, 300))


def living(flow: Flow) -> list[dict[str, Any]]:
    return [each for each in flow.systems["crm"].objects.values() if each is not None]


async def level(flow: Flow, outside: int = 0) -> None:
    report = await compared(flow, "crm")
    assert (report.complete, sum(report.found.values())) == (True, 0), report
    assert report.outside == outside


async def count(flow: Flow) -> int:
    return int(await flow.scalar("SELECT count(*) FROM customers WHERE deleted_at IS NULL"))


async def leave(flow: Flow, **changes: Any) -> str:
    """Create a customer with an object, and make the customer leave the filter."""
    record_id = await flow.create(**PRO)
    await deliver(flow)
    await patch(flow, record_id, **(FREE | changes))
    assert await link(flow, record_id) == OUTSIDE
    return record_id


async def test_a_record_is_created_there_when_it_enters(database_url: str, tmp_path: Path) -> None:
    async with both(database_url, tmp_path, PROFILE) as flow:
        record_id = await flow.create(phone="no +", **FREE)
        await deliver(flow)
        assert living(flow) == []
        assert await link(flow, record_id) == OUTSIDE
        await level(flow, outside=1)
        events = await flow.events("outbound")
        ends = {e["source_system"]: (e["status"], e["reason"]) for e in events}
        assert ends == {"crm": ("ignored", "outside"), "full": ("succeeded", "pushed")}
        with pytest.raises(SchemaViolation):
            await patch(flow, record_id, **PRO)
        await patch(flow, record_id, phone="+1", **PRO)
        assert len(living(flow)) == 1
        assert await link(flow, record_id) == ACTIVE
        await level(flow)


async def test_a_record_that_leaves_keeps_its_object(database_url: str, tmp_path: Path) -> None:
    async with both(database_url, tmp_path, PROFILE) as flow:
        record_id = await leave(flow, name="Eve")
        (there,) = living(flow)
        assert (there["name"], there["metadata"]) == ("Ada", {"plan": "pro"})
        assert [e["reason"] for e in await flow.events("outbound")][-2:].count("left") == 1
        edit(flow, name="Bob", email="there@x.org")
        await deliver(flow)
        record = await flow.record(record_id)
        assert (record["name"], record["email"]) == ("Eve", "ada@example.com")
        assert (await flow.events("inbound"))[-1]["reason"] == "outside"
        await level(flow, outside=1)
        pushed = len(flow.systems["crm"].calls)
        await patch(flow, record_id, phone="+2", **PRO)
        (there,), record = living(flow), await flow.record(record_id)
        assert (record["name"], record["email"]) == ("Eve", "there@x.org")
        assert (there["name"], there["email"], there["phone"]) == ("Eve", "there@x.org", "+2")
        assert len(flow.systems["crm"].calls) == pushed + 1
        assert await link(flow, record_id) == ACTIVE
        text = await told(flow, record_id)
        assert "conflict over name" in text
        assert "the record passes the filter, and its object is linked again" in text
        await level(flow)


async def test_the_object_decides_too_whether_its_record_travels(
    database_url: str, tmp_path: Path
) -> None:
    async with both(database_url, tmp_path, PROFILE) as flow:
        flow.systems["crm"].create(name="Ada", **FREE)
        await deliver(flow)
        assert await count(flow) == 0
        (event,) = await flow.events("inbound")
        assert (event["status"], event["reason"]) == ("ignored", "outside")
        await level(flow, outside=1)
        edit(flow, **PRO)
        await deliver(flow)
        (record,) = await flow.rows("SELECT CAST(id AS text) AS id, name FROM customers")
        edit(flow, name="Eve", **FREE)
        flow.systems["crm"].shift(7)
        await deliver(flow)
        assert (await flow.record(record["id"]))["name"] == "Eve"
        assert await link(flow, record["id"]) == OUTSIDE
        await patch(flow, record["id"], name="Bob")
        edit(flow, phone="+1")
        await deliver(flow)
        assert living(flow)[0]["name"] == "Eve"
        assert (await flow.record(record["id"]))["phone"] is None
        edit(flow, **PRO)
        flow.systems["crm"].shift(9)
        await deliver(flow)
        (there,), here = living(flow), await flow.record(record["id"])
        assert (there["name"], here["name"], here["phone"]) == ("Bob", "Bob", "+1")
        assert await link(flow, record["id"]) == ACTIVE
        assert len(flow.systems["crm"].calls) == 1
        await level(flow)


@pytest.mark.parametrize("known", [True, False])
async def test_a_delete_there_deletes_no_record_outside(
    database_url: str, tmp_path: Path, known: bool
) -> None:
    async with both(database_url, tmp_path, PROFILE) as flow:
        record_id = await leave(flow)
        (external_id,) = flow.systems["crm"].objects
        flow.systems["crm"].delete(external_id)
        if not known:
            flow.systems["crm"].webhooks.clear()
        await deliver(flow)
        assert await count(flow) == 1
        assert await link(flow, record_id) == OUTSIDE
        await patch(flow, record_id, **PRO)
        assert await count(flow) == 1
        assert len(living(flow)) == 1
        assert await link(flow, record_id) == ACTIVE
        await level(flow)


async def test_a_delete_here_keeps_the_object_outside(database_url: str, tmp_path: Path) -> None:
    async with both(database_url, tmp_path, PROFILE, propagate_deletes=True) as flow:
        record_id = await leave(flow)
        await flow.runtime.customers.delete(record_id, correlation_id="t")
        await deliver(flow)
        assert len(living(flow)) == 1
        assert flow.systems["crm"].pushes(IntentKind.DELETE) == []
        edit(flow, name="Eve", **PRO)
        await deliver(flow)
        assert await count(flow) == 0
        assert "outside" in await told(flow, record_id)


async def test_a_lost_push_is_resolved_before_its_record_leaves(
    database_url: str, tmp_path: Path
) -> None:
    async with both(database_url, tmp_path, PROFILE) as flow:
        record_id = await flow.create(**PRO)
        await deliver(flow)

        def lose(_push: object) -> None:
            flow.systems["crm"].after = lambda _push: None
            raise FakeError(FailureKind.UNKNOWN_OUTCOME)

        flow.systems["crm"].after = lose
        await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="t")
        await flow.runtime.customers.patch(record_id, {"name": "Bob", **FREE}, correlation_id="t")
        await deliver(flow)
        assert await link(flow, record_id) == OUTSIDE
        await patch(flow, record_id, **PRO)
        assert living(flow)[0]["name"] == (await flow.record(record_id))["name"] == "Bob"
        assert await link(flow, record_id) == ACTIVE
        await level(flow)


@pytest.mark.parametrize("returns", [True, False])
async def test_a_former_object_that_is_not_visible_waits_for_a_person(
    database_url: str, tmp_path: Path, returns: bool
) -> None:
    """Not visible proves no delete, so neither a second object is created nor a record deleted."""
    async with both(database_url, tmp_path, PROFILE) as flow:
        record_id, objects = await leave(flow, name="Eve"), flow.systems["crm"].objects
        (external_id,), (there,) = objects, objects.values()
        del objects[external_id]
        await patch(flow, record_id, **PRO)
        (letter,) = await flow.rows("SELECT * FROM sync_events WHERE status = 'dead'")
        assert letter["error_kind"] == "not_visible"
        explained = await explain(flow.runtime.engine, record_id)
        (system,) = (each for each in explained.systems if each.source_system == "crm")
        assert (system.state, system.in_sync) == ("detached", False)
        for missing in (None, Missing.DELETE):
            report = await compared(flow, "crm", repair=True, missing=missing)
            assert (report.found, report.clean) == ({"missing_there": 1}, False), report
        assert (objects, await count(flow)) == ({}, 1)
        if returns:
            objects[external_id] = there
            replay = Replay(flow.runtime.engine, set[str]().add, core_schemas()["event"])
            assert await replay.retry(EventFilter(), Actor("ada", "a test")) == 1
            await deliver(flow)
            assert len(living(flow)) == 1
        else:
            report = await compared(flow, "crm", repair=True, missing=Missing.RECREATE)
            assert (report.found, report.clean) == ({"missing_there": 1}, True), report
            (new,) = objects
            assert new != external_id
            objects[external_id] = there
            flow.systems["crm"].edit(external_id, name="Bob")
            await deliver(flow)
            assert (await flow.record(record_id))["name"] == "Eve"
        assert await link(flow, record_id) == ACTIVE
        (linked,) = await flow.rows(
            "SELECT external_id FROM external_mappings WHERE state = 'active' AND"
            " source_system = 'crm'"
        )
        assert objects[linked["external_id"]]["name"] == (await flow.record(record_id))["name"]


async def test_reconcile_finds_a_record_that_has_entered_unseen(
    database_url: str, tmp_path: Path
) -> None:
    async with both(database_url, tmp_path, PROFILE) as flow:
        record_id = await flow.create(**PRO)
        await deliver(flow)
        edit(flow, **FREE)
        await deliver(flow)
        assert await link(flow, record_id) == OUTSIDE
        edit(flow, name="Eve", **PRO)
        flow.systems["crm"].webhooks.clear()
        report = await compared(flow, "crm", repair=True)
        assert (report.found, report.clean, report.outside) == ({"different": 1}, True, 0), report
        assert await link(flow, record_id) == ACTIVE
        assert (await flow.record(record_id))["name"] == "Eve"


async def test_a_changed_filter_lets_records_leave_and_enter(
    database_url: str, tmp_path: Path
) -> None:
    systems = {"crm": FakeSystem(), "full": FakeSystem()}
    async with both(database_url, tmp_path, "", systems=systems) as flow:
        record_id = await flow.create(**FREE)
        await deliver(flow)
    async with both(database_url, tmp_path, PROFILE, systems=systems) as flow:
        await level(flow, outside=1)
        edit(flow, phone="+1")
        await deliver(flow)
        await patch(flow, record_id, name="Eve")
        assert await link(flow, record_id) == OUTSIDE
        assert (living(flow)[0]["name"], (await flow.record(record_id))["phone"]) == ("Ada", None)
    async with both(database_url, tmp_path, "", systems=systems) as flow:
        assert (await compared(flow, "crm")).found == {"missing_there": 1}
        report = await compared(flow, "crm", repair=True)
        assert report.clean, report
        (there,), record = living(flow), await flow.record(record_id)
        assert (there["name"], there["phone"]) == (record["name"], record["phone"]) == ("Eve", "+1")


async def test_an_object_is_linked_by_hand_before_its_record_enters(
    database_url: str, tmp_path: Path
) -> None:
    async with both(database_url, tmp_path, PROFILE) as flow:
        record_id = await flow.create(**FREE)
        external_id = flow.systems["crm"].create(name="Eve", phone="+1", **FREE)
        await deliver(flow)
        linker, by = flow.runtime.operations().object_linker(), Actor("Ada", "here")
        with pytest.raises(StateConflict, match="filter of crm"):
            await linker.link("crm", "customer", external_id, None, by)
        linked = await linker.link("crm", "customer", external_id, record_id, by)
        assert (linked.done, linked.outside, linked.fields) == (True, True, {})
        assert await link(flow, record_id) == OUTSIDE
        await patch(flow, record_id, **PRO)
        (there,), record = living(flow), await flow.record(record_id)
        assert (there["name"], there["phone"], record["phone"]) == ("Ada", "+1", "+1")
        assert await link(flow, record_id) == ACTIVE
        await level(flow)


async def test_backfill_and_join_count_what_is_outside(database_url: str, tmp_path: Path) -> None:
    async with both(database_url, tmp_path, PROFILE) as flow:
        await flow.create(**FREE)
        for values in (PRO, FREE, FREE):
            flow.systems["crm"].create(name="Ada", **values)
        flow.systems["crm"].webhooks.clear()
        await deliver(flow)
        plan = await flow.runtime.operations().join_planner().plan("crm", "customer")
        assert (plan.outside, len(plan.steps)) == (3, 1)
        backfiller = flow.runtime.operations().backfiller(wait_seconds=10)
        imported = await backfiller.run("crm", "customer")
        assert imported.verdicts == {"created": 1, "outside": 2}
        assert await count(flow) == 2
        await level(flow, outside=3)


async def test_without_a_filter_no_record_is_judged(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: Any, **_options: Any) -> Any:
        raise AssertionError

    for name in ("observe_filtered", "plan_outside"):
        monkeypatch.setattr(kernel, name, refuse)
    monkeypatch.setattr(Schema, "accepts", refuse)
    async with both(database_url, tmp_path, "[customer.fields]") as flow:
        record_id = await flow.create(**FREE)
        await deliver(flow)
        edit(flow, name="Eve")
        await deliver(flow)
        assert (await flow.record(record_id))["name"] == "Eve"
        assert await flow.scalar("SELECT count(*) FROM sync_events WHERE status = 'dead'") == 0


async def settled(flow: Flow, record_id: str) -> Report:
    """Bring the customer in, and return the comparison of both sides.

    An edit of the object that was not merged before may make the customer leave again.
    """
    await patch(flow, record_id, name="last", **PRO)
    await patch(flow, record_id, name="last", **PRO)
    return await compared(flow, "crm")


@pytest.mark.parametrize("seed", [1, 2])
async def test_random_edits_of_both_sides_end_level(
    database_url: str, tmp_path: Path, seed: int
) -> None:
    rng, profile = random.Random(seed), PROFILE.partition("[customer.fields")[0]
    systems = {"crm": FakeSystem(), "full": FakeSystem()}
    async with both(database_url, tmp_path, profile, systems=systems) as flow:
        record_id = await flow.create(**PRO)
        await deliver(flow)
        for _ in range(10):
            changes = {"metadata": {"plan": rng.choice(["pro", "free"])}, "name": rng.choice("ABC")}
            name = rng.choice(["crm", "full", "here"])
            if name == "here":
                await flow.runtime.customers.patch(record_id, changes, correlation_id="t")
            else:
                (external_id,) = systems[name].objects
                systems[name].edit(external_id, **changes)
            if rng.random() < 0.5:
                await deliver(flow)
        await deliver(flow)
        assert await count(flow) == 1
        report = await settled(flow, record_id)
        assert (report.clean, report.outside) == (True, 0), report
        (there,) = living(flow)
        assert (there["name"], there["metadata"]) == ("last", {"plan": "pro"})
        assert await link(flow, record_id) == ACTIVE
        assert len(systems["crm"].calls) < 20
