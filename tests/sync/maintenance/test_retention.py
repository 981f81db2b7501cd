"""The rows that retention deletes, and the rows that it keeps."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db import expired_rows
from zenskar.db.driver.engine import in_transaction, transaction
from zenskar.ids import bound, new_id
from zenskar.settings import load
from zenskar.sync.maintenance.retention import Retention, retentions

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def made(days_ago: float) -> str:
    """Return an id of that age."""
    at = bound(NOW - timedelta(days=days_ago))
    return at[:24] + uuid.uuid4().hex[:12]


async def rows(engine: AsyncEngine, query: str, **values: Any) -> list[Any]:
    async with engine.connect() as db:
        found = await db.execute(text(query), values)
        return [tuple(row) for row in found]


async def event(engine: AsyncEngine, days_ago: float, status: str) -> str:
    event_id = made(days_ago)

    async def write(connection: Any) -> None:
        await connection.execute(
            text(
                "INSERT INTO sync_events (id, direction, source_system, event_type,"
                " external_event_id, correlation_id, status, payload)"
                " VALUES (:id, 'inbound', 'fake', 'x', :name, 'c', :status, 'message')"
            ),
            {"id": event_id, "name": event_id, "status": status},
        )
        await connection.execute(
            text("INSERT INTO sync_event_history (event_id, status) VALUES (:id, :status)"),
            {"id": event_id, "status": status},
        )

    await in_transaction(engine, write)
    return event_id


def keeper(engine: AsyncEngine, kind: str, days: float) -> Retention:
    return Retention(engine, kind, days, pause_seconds=0, now=lambda: NOW)


async def test_only_what_has_ended_and_is_old_is_forgotten(engine: AsyncEngine) -> None:
    old = [await event(engine, 41, status) for status in ("succeeded", "ignored")]
    kept = [await event(engine, 41, status) for status in ("dead", "pending", "retrying")]
    kept.append(await event(engine, 39, "succeeded"))
    await keeper(engine, "history", 40).run({})
    found = {str(i) for (i,) in await rows(engine, "SELECT id FROM sync_events")}
    assert found == set(kept)
    entries = {str(i) for (i,) in await rows(engine, "SELECT event_id FROM sync_event_history")}
    assert entries == set(kept)
    assert old


async def test_messages_go_before_the_events_that_they_told_of(engine: AsyncEngine) -> None:
    old, young = await event(engine, 41, "succeeded"), await event(engine, 39, "succeeded")
    dead = await event(engine, 41, "dead")
    await keeper(engine, "payloads", 40).run({})
    found = dict(await rows(engine, "SELECT CAST(id AS text), payload FROM sync_events"))
    assert found == {old: None, young: "message", dead: "message"}


async def test_a_run_goes_on_where_the_last_one_came_to(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expired_rows, "BATCH", 2)
    for age in range(50, 43, -1):
        await event(engine, age, "succeeded")
    await rows(engine, "SELECT 1")
    async with engine.begin() as db:
        await db.execute(text("INSERT INTO schedules (name) VALUES ('forget_payloads')"))
    await keeper(engine, "payloads", 47.5).run({})
    ((state,),) = await rows(engine, "SELECT state FROM schedules")
    assert uuid.UUID(state["after"])
    ((left,),) = await rows(engine, "SELECT count(*) FROM sync_events WHERE payload IS NOT NULL")
    assert left == 4
    await keeper(engine, "payloads", 40).run(state)
    ((left,),) = await rows(engine, "SELECT count(*) FROM sync_events WHERE payload IS NOT NULL")
    assert left == 0


async def test_pushes_without_an_outcome_stay(engine: AsyncEngine) -> None:
    states = {"answered": made(41), "failed": made(41), "sent": made(41), "unknown": made(41)}
    young = made(39)
    async with engine.begin() as db:
        for state, push in [*states.items(), ("answered", young)]:
            await db.execute(
                text(
                    "INSERT INTO push_intents (id, source_system, entity_type, entity_id,"
                    " sync_event_id, kind, changes, body, revision, state)"
                    " VALUES (:id, 'fake', 'customer', :one, :one, 'update', '{}', '{}', 1, :state)"
                ),
                {"id": push, "one": new_id(), "state": state},
            )
    await keeper(engine, "pushes", 40).run({})
    found = {name for (name,) in await rows(engine, "SELECT id FROM push_intents")}
    assert found == {states["sent"], states["unknown"], young}


async def test_old_answers_to_idempotency_keys_are_forgotten(engine: AsyncEngine) -> None:
    async with engine.begin() as db:
        for key, age in (("old", 2), ("new", 0.5)):
            await db.execute(
                text(
                    "INSERT INTO idempotency_keys (scope, key, request_hash, entity_id, created_at)"
                    " VALUES ('s', :key, '', :id, :at)"
                ),
                {"key": key, "id": new_id(), "at": NOW - timedelta(days=age)},
            )
    await keeper(engine, "idempotency_keys", 1).run({})
    assert await rows(engine, "SELECT key FROM idempotency_keys") == [("new",)]


async def test_what_somebody_works_on_is_left_alone(engine: AsyncEngine, database_url: str) -> None:
    held, free = await event(engine, 41, "succeeded"), await event(engine, 41, "succeeded")
    other = await asyncpg.connect(database_url)
    async with other.transaction():
        await other.execute("SELECT 1 FROM sync_events WHERE id = $1 FOR UPDATE", held)
        await keeper(engine, "history", 40).run({})
    assert await rows(engine, "SELECT CAST(id AS text) FROM sync_events") == [(held,)]
    await keeper(engine, "history", 40).run({})
    assert await rows(engine, "SELECT id FROM sync_events") == []
    assert free
    await other.close()


@pytest.mark.parametrize("kind", ["history", "payloads", "pushes"])
async def test_the_primary_key_leads_to_what_is_old(engine: AsyncEngine, kind: str) -> None:
    values = {"after": expired_rows.FIRST, "bound": bound(NOW), "most": 10}
    async with transaction(engine) as db:
        explained = text(f"EXPLAIN {expired_rows.KINDS[kind]}")
        await db.execute(text("SET LOCAL enable_seqscan = off"))
        await db.execute(text("SET LOCAL enable_sort = off"))
        plan = "\n".join(row[0] for row in await db.execute(explained, values))
    table = "push_intents" if kind == "pushes" else "sync_events"
    assert f"using {table}_pkey" in plan


def test_zero_days_keep_for_ever(engine: AsyncEngine) -> None:
    settings = load({"ZENSKAR_RETENTION_PAYLOAD_DAYS": "0"})
    assert {r.schedule for r in retentions(engine, settings)} == {
        *(
            "forget_history",
            "forget_pushes",
            "forget_audit",
            "forget_runs",
            "forget_idempotency_keys",
        ),
    }
