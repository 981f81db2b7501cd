"""A system with versions refuses a push to an object that was changed there unseen."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from tests.simulation.clock import Clock, WrongClock
from tests.simulation.workers import Worker
from tests.support.fake import FakeError, FakeIntegration, fake_class
from tests.support.flow import Flow, open_flow
from tests.support.versioned import VersionedSystem
from tests.support.wait import until
from zenskar import ExternalObject, FailureKind, IntentKind, Push
from zenskar.db.events.event_log import EventFilter
from zenskar.model.actor import Actor
from zenskar.model.sync_event import SyncStatus
from zenskar.ops.explain.explainer import explain
from zenskar.ops.explain.words import title
from zenskar.plugins.discovery import Plugin

_MOST_CALLS = 12


async def history(flow: Flow) -> list[dict[str, Any]]:
    rows = await flow.rows(
        "SELECT detail FROM sync_event_history WHERE detail IS NOT NULL ORDER BY at, id"
    )
    return [json.loads(row["detail"]) for row in rows]


async def edited(flow: Flow, record_id: str, **changes: Any) -> None:
    await flow.runtime.customers.patch(record_id, changes, correlation_id="test")


def held(system: VersionedSystem) -> dict[str, Any]:
    (data,) = (each for each in system.objects.values() if each is not None)
    return data


async def test_an_edit_there_that_no_webhook_showed_is_not_overwritten(database_url: str) -> None:
    system = VersionedSystem()
    async with open_flow(database_url, systems={"fake": system}) as flow:
        record_id = await flow.create(phone="1")
        await flow.settle()
        (external_id,) = system.objects
        system.edit(external_id, name="There")
        await edited(flow, record_id, phone="2")
        await flow.settle()
        record = await flow.record(record_id)
        assert (record["name"], record["phone"]) == ("There", "2")
        assert (held(system)["name"], held(system)["phone"]) == ("There", "2")
        first, second = system.pushes(IntentKind.UPDATE)
        assert system.refused == [first]
        assert (first.if_version, second.if_version) == ("v1", "v2")
        assert system.fetches == [external_id]
        assert (await flow.mapping(record_id))["version"] == "v3"
        events = await flow.events("outbound")
        assert {(e["status"], e["attempts"]) for e in events} == {("succeeded", 0)}
        verdicts = [d["verdict"] for d in await history(flow) if "verdict" in d]
        assert verdicts[-3:] == ["stale_version", "merged", "merged"]
        steps = (await explain(flow.runtime.engine, record_id)).steps
        assert any("refused, since the object was changed there" in title(s) for s in steps)


@pytest.mark.parametrize("policy", ["internal_wins", "external_wins"])
async def test_the_loser_of_a_conflict_that_the_refusal_shows_is_recorded(
    database_url: str, policy: str
) -> None:
    system = VersionedSystem()
    rules = {"FAKE_CONFLICT_POLICY": policy}
    async with open_flow(database_url, systems={"fake": system}, environment=rules) as flow:
        record_id = await flow.create()
        await flow.settle()
        system.edit(next(iter(system.objects)), name="There")
        await edited(flow, record_id, name="Here")
        await flow.settle()
        (conflict,) = [c for d in await history(flow) for c in d.get("conflicts", ())]
        assert (conflict["internal"], conflict["external"]) == ("Here", "There")
        assert conflict["policy"] == policy
        expected = "Here" if policy == "internal_wins" else "There"
        assert (await flow.record(record_id))["name"] == held(system)["name"] == expected


async def test_a_delete_of_an_object_that_was_changed_there_is_sent_after_a_look(
    database_url: str,
) -> None:
    system = VersionedSystem()
    settings = {"FAKE_PROPAGATE_DELETES": "true"}
    async with open_flow(database_url, systems={"fake": system}, environment=settings) as flow:
        record_id = await flow.create()
        await flow.settle()
        (external_id,) = system.objects
        system.edit(external_id, name="There")
        await flow.runtime.customers.delete(record_id, correlation_id="test")
        await flow.settle()
        assert system.objects[external_id] is None
        assert [push.if_version for push in system.pushes(IntentKind.DELETE)] == ["v1", "v2"]
        assert any(d.get("seen") == {"/name": "There"} for d in await history(flow))


async def test_an_old_webhook_does_not_set_the_version_back(database_url: str) -> None:
    system = VersionedSystem()
    async with open_flow(database_url, systems={"fake": system}) as flow:
        record_id = await flow.create()
        await flow.settle()
        (external_id,) = system.objects
        for seconds, name in ((5, "Two"), (9, "Three")):
            system.edit(external_id, name=name)
            system.shift(seconds)
        second, third = system.webhooks[-2:]
        late = replace(second, received_at=third.received_at)
        system.webhooks[:] = [third, late]
        await flow.deliver()
        assert (await flow.events("inbound"))[-1]["reason"] == "stale"
        assert (await flow.mapping(record_id))["version"] == "v3"
        await edited(flow, record_id, phone="2")
        await flow.settle()
        assert (system.refused, system.fetches) == ([], [])


async def test_a_system_that_refuses_every_version_ends_as_a_dead_letter(database_url: str) -> None:
    system = VersionedSystem()
    async with open_flow(database_url, systems={"fake": system}, retry_max_attempts=2) as flow:
        record_id = await flow.create()
        await flow.settle()
        system.always_refuses = True
        await edited(flow, record_id, name="Here")
        await flow.until_scalar("SELECT true FROM sync_events WHERE status = 'dead'")
        # A fetch follows each refusal; a slow machine adds some, since its clock is less certain.
        assert len(system.refused) <= _MOST_CALLS
        event = (await flow.events("outbound"))[-1]
        assert event["error_message"] == f"not equal after {_MOST_CALLS} calls"


@pytest.mark.parametrize(
    "point",
    ["outbound.stored_intent", "outbound.failed", "outbound.called", "outbound.stored_answer"],
)
async def test_a_worker_that_dies_around_the_refusal_loses_no_edit(
    database_url: str, point: str
) -> None:
    system = VersionedSystem()
    async with open_flow(database_url, working=False, systems={"fake": system}) as flow:
        plugins = {"fake": Plugin("fake", "test-fake", "1", fake_class(system))}
        clock, settings = Clock(), flow.runtime.settings
        workers = [Worker(settings, {}, plugins, clock, WrongClock(clock)) for _ in range(3)]
        await workers[0].start()
        record_id = await flow.create(phone="1")
        await flow.settle()
        await workers[0].stop()
        (external_id,) = system.objects
        system.edit(external_id, name="There")
        await edited(flow, record_id, name="Here", phone="2")
        await workers[1].start()
        workers[1].kill_at(point)
        await until(workers[1].killed)
        async with flow.runtime.engine.begin() as db:
            await db.exec_driver_sql("UPDATE outbox SET claimed_until = now()")
            await db.exec_driver_sql("UPDATE push_intents SET lease_until = now()")
        await workers[2].start()
        await flow.settle()
        await workers[2].stop()
        assert (held(system)["name"], held(system)["phone"]) == ("Here", "2")
        # A worker that dies before the call leaves a push without an answer, so it is looked for.
        assert bool(system.refused) == (point != "outbound.stored_intent")
        assert any(
            c["external"] == "There" for d in await history(flow) for c in d.get("conflicts", ())
        )
        assert await flow.scalar("SELECT count(*) FROM push_intents WHERE state = 'sent'") == 0


@pytest.mark.parametrize("version", ["", "v" * 513, "v\0", 7])
async def test_a_version_that_cannot_be_stored_is_refused(
    database_url: str, monkeypatch: pytest.MonkeyPatch, version: Any
) -> None:
    def shown(_: VersionedSystem, external_id: str, data: dict[str, Any]) -> ExternalObject:
        return ExternalObject("customer", external_id, data, version=version)

    system = VersionedSystem()
    monkeypatch.setattr(VersionedSystem, "shown", shown)
    async with open_flow(database_url, systems={"fake": system}, retry_max_attempts=1) as flow:
        system.create(name="There")
        assert await flow.runtime.ingress.accept("fake", system.webhooks.pop(), "test") == (0, 1)
        await flow.create()
        await flow.settle()
        for event in (*await flow.events("inbound"), *await flow.events("outbound")):
            assert event["status"] == "dead"
            assert "/version: must be a text of at most 512 characters" in event["error_message"]


async def test_an_event_that_is_read_again_keeps_its_version(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = VersionedSystem()
    system.create(name="There")
    with monkeypatch.context() as patched:
        patched.setattr(FakeIntegration, "to_canonical", lambda _self, **_given: None)
        async with open_flow(database_url, systems={"fake": system}) as flow:
            assert await flow.runtime.ingress.accept("fake", system.webhooks[0], "t") == (0, 1)
    async with open_flow(database_url, systems={"fake": system}) as flow:
        dead = EventFilter(status=SyncStatus.DEAD)
        assert await flow.runtime.replay.retry(dead, Actor("me", "here")) == 1
        await flow.settle()
        assert await flow.scalar("SELECT version FROM external_mappings") == "v1"


@pytest.mark.parametrize("seed", range(4))
async def test_no_edit_is_overwritten_unseen_without_webhooks(database_url: str, seed: int) -> None:
    """Answers get lost, requests too, and no webhook ever arrives."""
    rng, system = random.Random(seed), VersionedSystem()

    def fail_sometimes(_push: Push) -> None:
        if rng.random() < 0.15:
            raise FakeError(FailureKind.UNKNOWN_OUTCOME)

    async with open_flow(database_url, systems={"fake": system}, retry_max_attempts=50) as flow:
        known = [await flow.create(name=f"n{number}") for number in range(3)]
        await flow.settle()
        system.before = system.after = fail_sometimes
        for number in range(40):
            value, name = f"e{number}", rng.choice(["name", "phone", "email"])
            value = f"{value}@example.com" if name == "email" else value
            if rng.random() < 0.5:
                await edited(flow, rng.choice(known), **{name: value})
            else:
                system.edit(rng.choice(list(system.objects)), **{name: value})
            if rng.random() < 0.3:
                await flow.settle()
        system.before = system.after = lambda _push: None
        for record_id in known:
            await edited(flow, record_id, metadata={"last": "edit"})
        await flow.settle()
        sides = await _sides(flow, system)
        assert all(here == there for here, there in sides)
        told = str(await history(flow))
        assert system.overwritten
        assert [value for value in system.overwritten if repr(value) not in told] == []
        assert system.refused


async def _sides(flow: Flow, system: VersionedSystem) -> list[tuple[Any, Any]]:
    """Return the fields of each record beside those of its object."""
    names = ("name", "phone", "email", "metadata")
    rows = await flow.rows(
        "SELECT c.*, m.external_id FROM customers AS c JOIN external_mappings AS m"
        " ON m.entity_id = c.id"
    )
    objects = [system.objects[row["external_id"]] or {} for row in rows]
    return [
        ({name: row[name] for name in names}, {name: there.get(name) for name in names})
        for row, there in zip(rows, objects, strict=True)
    ]
