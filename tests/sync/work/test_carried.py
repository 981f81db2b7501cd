"""A system that holds some fields only, beside one that holds all of them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from tests.support.fake import FakeError, FakeSystem
from tests.support.flow import Flow, open_flow
from zenskar import IntentKind
from zenskar.errors import FailureKind
from zenskar.ops.explain.explainer import explain
from zenskar.sync.reconcile.report import Report

HELD = ("name", "email")
DECLARED: Mapping[str, tuple[str, ...]] = {"customer": HELD}
REST: dict[str, Any] = {
    "phone": "+49 1",
    "address": {"city": "Bonn"},
    "metadata": {"plan": "pro", "a/b": "c"},
}


@asynccontextmanager
async def both(
    database_url: str, carries: Mapping[str, tuple[str, ...]], **settings: Any
) -> AsyncIterator[Flow]:
    systems = {"full": FakeSystem(), "crm": FakeSystem(holds=HELD, carries=carries)}
    async with open_flow(database_url, systems=systems, **settings) as flow:
        yield flow


async def deliver(flow: Flow) -> None:
    """Hand every webhook in until none is left: each may cause pushes, and these more."""
    await flow.settle()
    while any(system.webhooks for system in flow.systems.values()):
        for name in flow.systems:
            await flow.deliver(name)


async def rest(flow: Flow, record_id: str) -> dict[str, Any]:
    record = await flow.record(record_id)
    return {name: record[name] for name in REST}


async def states(flow: Flow, record_id: str) -> dict[str, tuple[bool, int]]:
    view = await flow.runtime.customers.get(record_id)
    told = {e["source_system"]: (e["in_sync"], e["synced_version"]) for e in view["external"]}
    explained = {
        s.source_system: s for s in (await explain(flow.runtime.engine, record_id)).systems
    }
    for name, (in_sync, _) in told.items():
        assert explained[name].in_sync == in_sync, name
    assert {synced for _, synced in told.values()} <= {*range(1, view["version"] + 1), None}
    return {name: (in_sync, view["version"] - (at or 0)) for name, (in_sync, at) in told.items()}


def holds(flow: Flow, name: str) -> dict[str, Any]:
    (held,) = (held for held in flow.systems[name].objects.values() if held is not None)
    return {k: v for k, v in held.items() if k != "record_id" and v not in (None, {})}


def only_id(flow: Flow, name: str) -> str:
    (external_id,) = flow.systems[name].objects
    return external_id


async def compared(flow: Flow, source: str, **options: Any) -> Report:
    runtime = flow.runtime
    factory = runtime.operations()
    reconciler = factory.reconciler(settle_seconds=0.0, wait_seconds=10)
    return await reconciler.run(source, "customer", **options)


LEVEL = {"full": (True, 0), "crm": (True, 0)}
either = pytest.mark.parametrize("carries", [{}, DECLARED], ids=["not declared", "declared"])


@either
async def test_what_one_system_does_not_hold_is_erased_nowhere(
    database_url: str, carries: Mapping[str, tuple[str, ...]]
) -> None:
    async with both(database_url, carries) as flow:
        record_id = await flow.create(**REST)
        await deliver(flow)
        assert await states(flow, record_id) == LEVEL
        flow.systems["crm"].edit(only_id(flow, "crm"), name="Eve")
        flow.systems["crm"].shift(5)
        await deliver(flow)
        assert await states(flow, record_id) == LEVEL
        await flow.runtime.customers.patch(record_id, {"email": "e@x.org"}, correlation_id="t")
        await deliver(flow)
        assert await states(flow, record_id) == LEVEL
        assert await rest(flow, record_id) == REST
        assert holds(flow, "crm") == {"name": "Eve", "email": "e@x.org"}
        assert holds(flow, "full") == {"name": "Eve", "email": "e@x.org", **REST}


@either
async def test_a_change_of_what_it_does_not_hold_leaves_it_in_sync(
    database_url: str, carries: Mapping[str, tuple[str, ...]]
) -> None:
    async with both(database_url, carries) as flow:
        record_id = await flow.create(**REST)
        await deliver(flow)
        pushed = len(flow.systems["crm"].calls)
        flow.systems["full"].edit(only_id(flow, "full"), phone=None, metadata={"plan": "free"})
        flow.systems["full"].shift(5)
        await deliver(flow)
        assert await rest(flow, record_id) == REST | {"phone": None, "metadata": {"plan": "free"}}
        assert await states(flow, record_id) == LEVEL
        assert (len(flow.systems["crm"].calls) == pushed) is bool(carries)


@either
async def test_who_is_seen_first_in_the_smaller_system(
    database_url: str, carries: Mapping[str, tuple[str, ...]]
) -> None:
    async with both(database_url, carries) as flow:
        flow.systems["crm"].create(name="Grace", email="g@x.org")
        await deliver(flow)
        (record,) = await flow.rows("SELECT CAST(id AS text) AS id FROM customers")
        await flow.runtime.customers.patch(record["id"], REST, correlation_id="t")
        await deliver(flow)
        assert await states(flow, record["id"]) == LEVEL
        assert holds(flow, "full") == {"name": "Grace", "email": "g@x.org", **REST}
        assert holds(flow, "crm") == {"name": "Grace", "email": "g@x.org"}


@either
async def test_a_lost_answer_a_list_and_a_comparison_show_no_less(
    database_url: str, carries: Mapping[str, tuple[str, ...]]
) -> None:
    async with both(database_url, carries) as flow:
        lost = [True]

        def lose(_push: object) -> None:
            if lost:
                lost.pop()
                raise FakeError(FailureKind.UNKNOWN_OUTCOME)

        flow.systems["crm"].after = lose
        record_id = await flow.create(**REST)
        await deliver(flow)
        assert not lost
        lost[:] = [True]
        changes = {"name": "Eve", "phone": "+49 2"}
        await flow.runtime.customers.patch(record_id, changes, correlation_id="t")
        await deliver(flow)
        assert not lost
        for source in flow.systems:
            report = await compared(flow, source, repair=True)
            assert (report.complete, sum(report.found.values())) == (True, 0), report
        await deliver(flow)
        assert await states(flow, record_id) == LEVEL
        assert await rest(flow, record_id) == REST | {"phone": "+49 2"}
        assert holds(flow, "full") == {"name": "Eve", "email": "ada@example.com", **REST} | changes


async def test_null_still_empties_a_field(database_url: str) -> None:
    async with both(database_url, DECLARED) as flow:
        record_id = await flow.create(**REST)
        await deliver(flow)
        flow.systems["crm"].edit(only_id(flow, "crm"), email=None)
        flow.systems["crm"].shift(5)
        await deliver(flow)
        assert (await flow.record(record_id))["email"] is None
        assert holds(flow, "full") == {"name": "Ada", **REST}


async def test_what_is_not_carried_is_neither_sent_nor_taken(database_url: str) -> None:
    """Also where the integration would read it."""
    systems = {"crm": FakeSystem(carries=DECLARED)}
    async with open_flow(database_url, systems=systems) as flow:
        record_id = await flow.create(**REST)
        await flow.deliver("crm")
        (push,) = systems["crm"].pushes(IntentKind.CREATE)
        assert push.body == {"name": "Ada", "email": "ada@example.com"}
        systems["crm"].edit(only_id(flow, "crm"), phone="+49 9", metadata={"x": "y"})
        systems["crm"].shift(5)
        await flow.deliver("crm")
        assert await rest(flow, record_id) == REST
        assert (await flow.mapping(record_id, "crm"))["carried"] == ["email", "name"]


@pytest.mark.parametrize("there", ["+49 9", None])
@pytest.mark.parametrize("policy", ["internal_wins", "external_wins"])
async def test_a_later_release_that_carries_more_looks_before_it_writes(
    database_url: str, there: str | None, policy: str
) -> None:
    async with both(database_url, DECLARED, conflict_policy=policy) as flow:
        record_id = await flow.create(**REST)
        await deliver(flow)
        crm, more = flow.systems["crm"], ("name", "email", "phone")
        crm.holds, crm.carries = more, {"customer": more}
        held = crm.objects[only_id(flow, "crm")]
        assert held is not None
        held["phone"] = there
        await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="t")
        await deliver(flow)
        wins = there if there and policy == "external_wins" else REST["phone"]
        assert (await flow.record(record_id))["phone"] == wins
        assert holds(flow, "crm") == {"name": "Eve", "email": "ada@example.com", "phone": wins}
        assert await states(flow, record_id) == LEVEL
        conflicts = await flow.rows(
            "SELECT detail FROM sync_event_history WHERE detail LIKE '%\"conflicts\"%'"
        )
        lost = [orjson.loads(row["detail"])["conflicts"][0]["external"] for row in conflicts]
        assert lost == ([there] if there else [])


async def test_a_release_that_carries_less_compares_less(database_url: str) -> None:
    systems = {"crm": FakeSystem()}
    async with open_flow(database_url, systems=systems) as flow:
        record_id = await flow.create(**REST)
        await flow.deliver("crm")
        systems["crm"].carries = DECLARED
        await flow.runtime.customers.patch(record_id, {"phone": "+49 2"}, correlation_id="t")
        await flow.settle()
        (entry,) = (await flow.runtime.customers.get(record_id))["external"]
        assert (entry["in_sync"], entry["synced_version"]) == (True, 2)
        assert len(systems["crm"].calls) == 1


async def test_the_message_on_the_bus_leaves_out_what_was_not_seen(database_url: str) -> None:
    async with both(database_url, {}) as flow:
        record_id = await flow.create(**REST)
        await deliver(flow)
        flow.systems["crm"].edit(only_id(flow, "crm"), name="Eve")
        flow.systems["crm"].shift(5)
        await deliver(flow)
        payload = await flow.scalar(
            "SELECT payload FROM sync_events WHERE source_system = 'crm' AND direction = 'inbound'"
            " ORDER BY id DESC LIMIT 1"
        )
        document = orjson.loads(payload)["data"]["object"]["document"]
        assert document == {"name": "Eve", "email": "ada@example.com"}
        assert await rest(flow, record_id) == REST
