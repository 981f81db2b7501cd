"""The additions of plugins are stored before a push is sent, and a repeat sends them unchanged."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.simulation.clock import Clock, WrongClock
from tests.simulation.workers import Worker
from tests.support.fake import FakeError, FakeSystem, fake_class
from tests.support.flow import open_flow
from tests.support.wait import until
from zenskar import FailureKind, IntentKind, Push, hookimpl
from zenskar.db import intents
from zenskar.model.record import Intent
from zenskar.ops.explain.explainer import explain
from zenskar.ops.explain.model import Addition, HistoryStepKind
from zenskar.ops.explain.words import details
from zenskar.plugins.discovery import Plugin


class Tagger:
    """Adds a number that rises with each question."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    @hookimpl
    def enrich_push(self, source: str, kind: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append((kind, patch))
        name = {"name": "changed"} if kind == "create" else {}
        return {"tag": f"{source} {len(self.asked)}", **name}


def plugins(system: FakeSystem, tagger: Tagger) -> dict[str, Plugin]:
    return {
        "fake": Plugin("fake", "test-fake", "1", fake_class(system)),
        "tagger": Plugin("tagger", "test-tagger", "1", broadcast=tagger),
    }


def refuse_once(system: FakeSystem, kind: FailureKind) -> None:
    """Refuse the first push."""

    def before(_push: Push) -> None:
        if len(system.calls) == 1:
            raise FakeError(kind)

    system.before = before


async def test_creates_and_updates_are_enriched_and_deletes_are_not(database_url: str) -> None:
    system, tagger = FakeSystem(), Tagger()
    extra = {"tagger": plugins(system, tagger)["tagger"]}
    async with open_flow(
        database_url, systems={"fake": system}, extra=extra, propagate_deletes=True
    ) as flow:
        record_id = await flow.create(metadata={"plan": "pro"})
        await flow.settle()
        patch = {"phone": "1", "metadata": {"plan": None}}
        await flow.runtime.customers.patch(record_id, patch, correlation_id="test")
        await flow.settle()
        await flow.runtime.customers.delete(record_id, correlation_id="test")
        await flow.settle()
        created, updated, deleted = system.calls
        assert (created.body["tag"], created.body["name"]) == ("fake 1", "Ada")
        assert updated.body == {**patch, "tag": "fake 2"}
        assert (deleted.kind, "tag" in deleted.body) == (IntentKind.DELETE, False)
        document = {"name": "Ada", "email": "ada@example.com", "metadata": {"plan": "pro"}}
        assert tagger.asked == [("create", document), ("update", patch)]
        bodies = await flow.rows("SELECT body FROM push_intents ORDER BY created_at")
        assert [json.loads(row["body"]) for row in bodies] == [dict(c.body) for c in system.calls]
        assert (await flow.record(record_id))["name"] == "Ada"
        steps = (await explain(flow.runtime.engine, record_id)).steps
        calls = [step for step in steps if step.kind is HistoryStepKind.CALL]
        added = (Addition("tagger", ("/tag",)),)
        assert [step.added for step in calls] == [added, added, ()]
        assert "added by tagger: tag" in details(calls[0])
        assert not any(step.kind is HistoryStepKind.NOTE for step in steps)
        stored = await flow.rows("SELECT detail FROM sync_event_history WHERE detail LIKE '%tag%'")
        assert not any("fake 1" in row["detail"] for row in stored)


async def test_a_repeat_sends_the_stored_body(database_url: str) -> None:
    system, tagger = FakeSystem(), Tagger()
    extra = {"tagger": plugins(system, tagger)["tagger"]}
    refuse_once(system, FailureKind.UNKNOWN_OUTCOME)
    async with open_flow(database_url, systems={"fake": system}, extra=extra) as flow:
        await flow.create()
        await flow.settle()
        first, again = system.calls
        assert first.idempotency_key == again.idempotency_key
        assert first.body == again.body
        assert first.body["tag"] == "fake 1"
        assert len(tagger.asked) == 1


@pytest.mark.parametrize(
    ("point", "tag"), [("outbound.stored_intent", None), ("outbound.enriched", "fake 1")]
)
async def test_a_worker_that_dies_leaves_the_body_that_it_has_stored(
    database_url: str, point: str, tag: str | None
) -> None:
    system, tagger = FakeSystem(), Tagger()
    async with open_flow(database_url, working=False, systems={"fake": system}) as flow:
        clock, settings = Clock(), flow.runtime.settings
        both = plugins(system, tagger)
        workers = [Worker(settings, {}, both, clock, WrongClock(clock)) for _ in range(2)]
        await flow.create()
        await workers[0].start()
        workers[0].kill_at(point)
        await until(workers[0].killed)
        assert system.calls == []
        async with flow.runtime.engine.begin() as db:
            await db.exec_driver_sql("UPDATE outbox SET claimed_until = now()")
            await db.exec_driver_sql("UPDATE push_intents SET lease_until = now()")
        await workers[1].start()
        await flow.settle()
        await workers[1].stop()
        (push,) = system.calls
        assert push.body.get("tag") == tag
        assert len(tagger.asked) == (tag is not None)


LEASES = {
    "the first": ("now() + interval '60 s'", "sent", True),
    "an expired": ("now() - interval '1 s'", "sent", False),
    "that of another worker": ("now() + interval '61 s'", "sent", False),
    "none": ("NULL", "unknown", False),
}


@pytest.mark.parametrize(("lease", "state", "stored"), LEASES.values(), ids=LEASES)
async def test_only_the_first_lease_may_replace_a_body(
    database_url: str, lease: str, state: str, stored: bool
) -> None:
    async with open_flow(database_url, working=False) as flow, flow.runtime.engine.begin() as db:
        await db.exec_driver_sql(
            "INSERT INTO push_intents (id, source_system, entity_type, entity_id, sync_event_id,"
            " kind, changes, body, revision, state, lease_until)"
            " VALUES ('i_1', 'fake', 'customer', gen_random_uuid(), gen_random_uuid(), 'create',"
            f" '{{}}', '{{}}', 0, '{state}', {lease})"
        )
        intent = Intent("i_1", IntentKind.CREATE, {}, body={"tag": 1})
        assert await intents.replace_body(db, intent, 60.0) is stored
        kept = (await db.exec_driver_sql("SELECT body FROM push_intents")).scalar_one()
        assert json.loads(kept) == ({"tag": 1} if stored else {})
