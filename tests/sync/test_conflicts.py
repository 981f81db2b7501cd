"""A conflict is counted once and recorded with its reason, wherever it shows."""

import json
import time
from typing import Any

import pytest

from tests.support.drift import execute, factory
from tests.support.flow import Flow, open_flow, running_worker
from tests.support.refuse import refuse, tries
from tests.support.versioned import VersionedSystem
from tests.support.wait import until
from zenskar import IntentKind, Push
from zenskar.db import connections
from zenskar.db.driver.engine import in_transaction
from zenskar.model.interval import MICROSECONDS, Interval
from zenskar.ops.explain.explainer import explain
from zenskar.ops.explain.words import details

REFUSALS = 3


async def refuse_the_first_commits(flow: Flow) -> None:
    """Make the first commits fail that record a conflict."""
    condition = "NEW.detail LIKE '%%\"conflicts\"%%'"
    await refuse(flow, "sync_event_history", condition, "serialization_failure", REFUSALS)


def counted(flow: Flow) -> dict[str, float]:
    """Return how many conflicts the metric has, by winner."""
    return {
        sample.labels["winner"]: sample.value
        for family in flow.runtime.metrics.conflicts.collect()
        for sample in family.samples
        if sample.name.endswith("_total") and sample.value
    }


async def recorded(flow: Flow) -> list[dict[str, Any]]:
    history = await flow.rows("SELECT detail FROM sync_event_history WHERE detail IS NOT NULL")
    return [one for row in history for one in json.loads(row["detail"]).get("conflicts", ())]


async def test_a_conflict_that_shows_in_an_answer_counts_once_however_often_it_is_stored(
    database_url: str,
) -> None:
    async with open_flow(database_url) as flow:
        system, record_id = flow.systems["fake"], await flow.create(phone="0")
        await flow.settle()
        await refuse_the_first_commits(flow)

        async def edit_both(_push: Push) -> None:
            system.on_the_way = None
            system.edit(next(iter(system.objects)), phone="2")
            await flow.runtime.customers.patch(record_id, {"phone": "1"}, correlation_id="test")

        system.on_the_way = edit_both
        await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="test")
        await flow.settle()
        assert await tries(flow) == REFUSALS + 1
        assert counted(flow) == {"internal": 1}
        (conflict,) = await recorded(flow)
        assert (conflict["path"], conflict["winner"]) == ("/phone", "internal")
        assert conflict["policy"] == "internal_wins"


async def test_a_conflict_that_a_webhook_shows_counts_once_however_often_it_is_stored(
    database_url: str,
) -> None:
    async with open_flow(database_url, working=False) as flow:
        system, record_id = flow.systems["fake"], await flow.create()
        async with running_worker(flow.runtime):
            await flow.settle()
        await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="test")
        system.edit(next(iter(system.objects)), name="Zoe")
        system.shift(10)
        await refuse_the_first_commits(flow)
        await flow.runtime.ingress.accept("fake", system.webhooks[-1], "test")
        async with running_worker(flow.runtime, "inbound"):
            await until(lambda: recorded(flow))
        assert await tries(flow) == REFUSALS + 1
        async with running_worker(flow.runtime):
            await flow.settle()
        assert counted(flow) == {"internal": 1}


async def test_a_value_that_is_rewritten_there_wins_and_no_policy_is_blamed(
    database_url: str,
) -> None:
    async with open_flow(database_url) as flow:
        system, record_id = flow.systems["fake"], await flow.create()
        await flow.settle()

        def rewrite(push: Push) -> None:
            if "name" in push.body:
                push.body["name"] = push.body["name"].title()

        system.before = rewrite
        await flow.runtime.customers.patch(record_id, {"name": "EVE"}, correlation_id="test")
        await flow.settle()
        assert len(system.pushes(IntentKind.UPDATE)) == 1
        assert (await flow.record(record_id))["name"] == "Eve"
        assert counted(flow) == {"external": 1}
        (conflict,) = await recorded(flow)
        assert (conflict["internal"], conflict["external"]) == ("EVE", "Eve")
        assert (conflict["winner"], conflict["policy"]) == ("external", "rewritten")
        told = await explain(flow.runtime.engine, record_id)
        lines = [line for step in told.steps for line in details(step) if "conflict" in line]
        assert [line.endswith("stores another value than it was sent") for line in lines] == [True]


@pytest.mark.parametrize(("ahead", "winner"), [(-60, "external"), (0, "internal")])
async def test_the_later_edit_is_found_across_two_clocks(
    database_url: str, ahead: int, winner: str
) -> None:
    later = {"FAKE_CONFLICT_POLICY": "latest_wins"}
    async with open_flow(database_url, working=False, environment=later) as flow:
        system, record_id = flow.systems["fake"], await flow.create()
        async with running_worker(flow.runtime):
            await flow.settle()
        offset = Interval(0, 0).after(ahead * MICROSECONDS)
        engine = flow.runtime.engine
        await in_transaction(engine, lambda c: connections.note_clock(c, "fake", offset))
        older = "asof_low = asof_low - 3600000000, asof_high = asof_high - 3600000000"
        await execute(flow, f"UPDATE external_mappings SET {older}")
        await flow.runtime.customers.patch(record_id, {"name": "Here"}, correlation_id="test")
        system.edit(next(iter(system.objects)), name="There")
        system.shift(-30)
        await flow.runtime.ingress.accept("fake", system.webhooks[-1], "test")
        async with running_worker(flow.runtime, "inbound"):
            await until(lambda: recorded(flow))
        assert counted(flow) == {winner: 1}


@pytest.mark.parametrize(("seconds", "winner"), [(-30, "internal"), (30, "external")])
async def test_a_poll_of_an_earlier_edit_does_not_beat_a_later_one(
    database_url: str, seconds: int, winner: str
) -> None:
    """The poll comes after both edits, whichever was the later one."""
    later = {"FAKE_CONFLICT_POLICY": "latest_wins"}
    system = VersionedSystem()
    async with open_flow(
        database_url, working=False, environment=later, systems={"fake": system}
    ) as flow:
        record_id = await flow.create()
        async with running_worker(flow.runtime):
            await flow.settle()
        (external_id,) = system.objects
        await execute(flow, "UPDATE external_mappings SET asof_low = 0, asof_high = 0")
        offset = Interval(0, 0)
        engine = flow.runtime.engine
        await in_transaction(engine, lambda c: connections.note_clock(c, "fake", offset))
        await flow.runtime.customers.patch(record_id, {"name": "Here"}, correlation_id="test")
        await execute(flow, "UPDATE customers SET updated_at = now() - interval '1 minute'")
        changed = int(time.time()) - 60 + seconds
        system.edit(external_id, name="There", changed=changed)
        system.report(external_id)
        await factory(flow).feed_poller().run("fake", {})
        async with running_worker(flow.runtime, "inbound"):
            await until(lambda: recorded(flow))
        assert counted(flow) == {winner: 1}
        (conflict,) = await recorded(flow)
        assert conflict["policy"] == "latest_wins"
