"""Rows come back from PostgreSQL as they were written."""

from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db import mappings, outbox, records
from zenskar.db.driver.engine import connected
from zenskar.db.events import event_log, sync_events
from zenskar.db.events.sync_events import NewSyncEvent, Transition
from zenskar.db.outbox import OutboxMessage
from zenskar.ids import new_id
from zenskar.model.envelope import INBOUND, Envelope
from zenskar.model.interval import Interval
from zenskar.model.record import ExternalMapping, Record
from zenskar.model.sync_event import Direction, SyncStatus

ODD = "line\nline\ttab \x1f {\"a\": 'b'}, \\u0000 NULL Zürich \U0001f600"
FIELDS = {"/name": ODD, "/email": "a@b.c", "/address": {"city": ODD}, f"/metadata/{ODD}": ODD}


def event(**values: str | None) -> NewSyncEvent:
    return NewSyncEvent(
        new_id(), Direction.INBOUND, "fake", "customer.updated", "c", "customer", **values
    )


async def test_records_keep_their_fields(engine: AsyncEngine) -> None:
    full, bare = Record(new_id(), FIELDS), Record(new_id(), {}, version=3, deleted=True)
    async with connected(engine) as db:
        await records.insert(db, "customer", [full, bare])
        found = await records.lock(db, "customer", [full.id, bare.id])
        assert found[full.id].fields == FIELDS
        assert (found[bare.id].fields, found[bare.id].version) == ({}, 3)
        assert found[bare.id].deleted
        await records.update(db, "customer", [Record(full.id, {"/name": "Ada"}, version=2)])
        found = await records.lock(db, "customer", [full.id])
    assert (found[full.id].fields, found[full.id].version) == ({"/name": "Ada"}, 2)


@pytest.mark.parametrize("carried", [None, frozenset(), frozenset({"name", "email"})])
async def test_mappings_keep_their_base(
    engine: AsyncEngine, carried: frozenset[str] | None
) -> None:
    mapping = ExternalMapping(ODD, new_id(), FIELDS, Interval(1, 2**60), fetch_revision=None)
    async with connected(engine) as db:
        await mappings.save(db, "fake", "customer", [(mapping, None)], carried)
        (found,) = await mappings.around(db, "fake", "customer", [ODD], [])
    assert found == (mapping, carried)


@pytest.mark.parametrize(
    ("version", "memo"), [(None, None), (ODD, {}), ("v1", {ODD: [ODD, 1.5, 2**40, None, {}]})]
)
async def test_mappings_keep_their_version_and_their_memo(
    engine: AsyncEngine, version: str | None, memo: dict[str, object] | None
) -> None:
    known = ExternalMapping("x1", new_id(), FIELDS, Interval(1, 2))
    mapping = replace(known, version=version, memo=memo)
    async with connected(engine) as db:
        for each in (known, mapping):
            await mappings.save(db, "fake", "customer", [(each, None)])
            found = await mappings.by_external_id(db, "fake", "customer", ["x1"])
            assert found["x1"] == each


async def test_an_empty_text_is_not_null(engine: AsyncEngine) -> None:
    written = event(external_id="")
    end = Transition(written.id, SyncStatus.SUCCEEDED, error_message="")
    async with connected(engine) as db:
        await sync_events.insert(db, [written])
        await sync_events.move(db, [end])
        found = await event_log.read(db, written.id)
    assert found is not None
    assert (found.external_id, found.error_message, found.error_kind) == ("", "", None)


async def test_sync_events_keep_their_payload_and_history(engine: AsyncEngine) -> None:
    written = event(external_event_id=ODD)._replace(payload=ODD.encode(), detail={"a": ODD})
    ends = Transition(written.id, SyncStatus.DEAD, reason="conflict", entity_id=new_id())
    async with connected(engine) as db:
        await sync_events.record(db, [(written, ends)])
        found = await event_log.read(db, written.id)
        payload = await event_log.payload(db, written.id)
        history = await event_log.history(db, written.id)
    assert found is not None
    assert (found.external_event_id, found.entity_id) == (ODD, ends.entity_id)
    assert payload == ODD
    assert [(entry.status, entry.detail) for entry in history] == [
        ("pending", {"a": ODD}),
        ("dead", {"reason": "conflict"}),
    ]


async def test_messages_keep_their_order(engine: AsyncEngine) -> None:
    envelope = Envelope("e", "test", "t", "s", "2026-01-01T00:00:00Z", {}, "c")
    keys = [f"{ODD}{number}" for number in range(500)]
    async with connected(engine) as db:
        await outbox.insert(
            db, [OutboxMessage(INBOUND, key, "fake", envelope, ODD.encode()) for key in keys]
        )
        rows = (await db.execute(text("SELECT key, envelope FROM outbox ORDER BY id"))).all()
    assert [row.key for row in rows] == keys
    assert {row.envelope for row in rows} == {ODD}
