"""Push intents: the log of pushes, written before they are sent."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from asyncpg import Record
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.driver.engine import driver
from zenskar.model.record import Intent, IntentKind, IntentState


@dataclass(frozen=True, slots=True)
class NewIntent:
    """An intent to store before its push. The lease limits how long its worker may hold it."""

    intent: Intent
    source_system: str
    entity_type: str
    entity_id: str
    external_id: str | None
    sync_event_id: str
    lease_seconds: float
    traceparent: str | None = None


_OPEN = """
    SELECT id, CAST(entity_id AS text) AS entity_id, kind, changes, body, revision,
           CASE WHEN state = 'sent' AND lease_until < now() THEN 'unknown' ELSE state END AS state,
           state = 'sent' AND lease_until < now() AS lapsed,
           NOT key_spent AND created_at > now() - make_interval(secs => $5) AS key_alive,
           COALESCE(resent_at, created_at) > now() - make_interval(secs => $6) AS may_arrive
    FROM push_intents
    WHERE source_system = $1 AND entity_type = $2
      AND ((entity_id = ANY($3::uuid[]) AND state IN ('sent', 'unknown')) OR id = ANY($4::text[]))
    ORDER BY created_at, id
"""


@dataclass(frozen=True, slots=True)
class OpenIntents:
    """Pushes by record; the lease of the `lapsed` ones has expired."""

    by_record: dict[str, tuple[Intent, ...]]
    lapsed: frozenset[str]


@dataclass(frozen=True, slots=True)
class LostPush:
    """An unanswered push without a worker, and its record and sync event."""

    id: str
    entity_type: str
    record_id: str
    sync_event_id: str
    correlation_id: str | None


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long an external system remembers a key, and how long a request may take to arrive."""

    key_seconds: float
    request_seconds: float


# The repeated condition on the state is that of a partial index.
_LAPSED = text("""
    SELECT i.id, i.entity_type, CAST(i.entity_id AS text), CAST(i.sync_event_id AS text),
           e.correlation_id
    FROM push_intents AS i LEFT JOIN sync_events AS e ON e.id = i.sync_event_id
    WHERE i.state IN ('sent', 'unknown') AND i.state = 'sent' AND i.lease_until < now()
      AND i.source_system = :source
    ORDER BY i.lease_until LIMIT :most
""")

_TOO_OLD = """i.state IN ('sent', 'unknown') AND i.state = 'unknown' AND i.source_system = :source
      AND COALESCE(i.resent_at, i.created_at) < now() - make_interval(secs => :request_seconds)"""
_LIVE = """SELECT FROM external_mappings AS m
        WHERE m.entity_id = i.entity_id AND m.source_system = i.source_system
          AND m.entity_type = i.entity_type AND m.state = 'active'"""
_FINAL = """SELECT FROM sync_events AS e
        WHERE e.id = i.sync_event_id AND e.status IN ('dead', 'ignored')"""

_UNSEEN = text(f"""
    SELECT i.id, i.entity_type, CAST(i.entity_id AS text), CAST(i.sync_event_id AS text),
           e.correlation_id
    FROM push_intents AS i LEFT JOIN sync_events AS e ON e.id = i.sync_event_id
    WHERE {_TOO_OLD} AND NOT EXISTS ({_FINAL})
      AND EXISTS ({_LIVE} AND m.fetch_revision IS NULL)
    ORDER BY i.created_at LIMIT :most
""")  # noqa: S608 - no value is put into the text

# A create stays until its object is known: otherwise it would be repeated without a check. A
# detached object belongs to a create that was sent before.
_END_OLD = text(f"""
    UPDATE push_intents SET state = 'ended', lease_until = NULL, resolved_at = now()
    WHERE id = ANY(ARRAY(
        SELECT i.id FROM push_intents AS i
        WHERE {_TOO_OLD}
          AND CASE WHEN EXISTS ({_LIVE}) THEN EXISTS ({_FINAL})
              ELSE i.kind <> 'create' OR EXISTS (
                  SELECT FROM external_mappings AS m
                  WHERE m.entity_id = i.entity_id AND m.source_system = i.source_system
                    AND m.entity_type = i.entity_type
                    AND NOT (m.detached AND i.revision >= m.revision))
              END
        ORDER BY i.created_at LIMIT :most FOR UPDATE SKIP LOCKED))
    RETURNING id
""")  # noqa: S608 - no value is put into the text

_INSERT = """
    INSERT INTO push_intents (id, source_system, entity_type, entity_id, external_id,
        sync_event_id, kind, changes, body, revision, state, lease_until, traceparent)
    SELECT id, source_system, entity_type, entity_id, external_id, sync_event_id, kind, changes,
        body, revision, 'sent', now() + make_interval(secs => lease), traceparent
    FROM jsonb_to_recordset($1) AS t(id text, source_system text, entity_type text,
        entity_id uuid, external_id text, sync_event_id uuid, kind text, changes text, body text,
        revision integer, lease double precision, traceparent text)
"""

_TRACES = """
    SELECT id, traceparent FROM push_intents
    WHERE id = ANY($1::text[]) AND traceparent IS NOT NULL
"""

_TAKE = """
    UPDATE push_intents
    SET state = 'sent', lease_until = now() + make_interval(secs => $2), resent_at = now()
    WHERE id = ANY($1::text[]) AND (state = 'unknown' OR lease_until < now())
"""

# The worker that stored the push still holds its first lease, so no other one can have sent it.
_REPLACE_BODY = """
    UPDATE push_intents SET body = $2
    WHERE id = $1 AND state = 'sent' AND lease_until > now()
      AND lease_until <= created_at + make_interval(secs => $3)
    RETURNING id
"""

_SPEND_KEY = "UPDATE push_intents SET key_spent = true WHERE id = $1"

# An answered push stays answered: it may have been sent twice, with one answer.
_SET = """
    UPDATE push_intents
    SET state = $2, lease_until = NULL,
        resolved_at = CASE WHEN $2 IN ('answered', 'failed', 'ended') THEN now() END
    WHERE id = ANY($1::text[]) AND state <> 'answered'
"""


async def open_intents(
    db: AsyncConnection,
    source: str,
    entity_type: str,
    entity_ids: Iterable[str],
    *,
    origins: Iterable[str] = (),
    lifetimes: Lifetimes,
) -> OpenIntents:
    """Return the pushes without an answer, and the pushes that `origins` name."""
    rows = await driver(db).fetch(
        _OPEN,
        source,
        entity_type,
        sorted(set(entity_ids)),
        sorted(set(origins)),
        lifetimes.key_seconds,
        lifetimes.request_seconds,
    )
    found: dict[str, tuple[Intent, ...]] = {}
    for row in rows:
        found[row["entity_id"]] = (*found.get(row["entity_id"], ()), _intent(row))
    return OpenIntents(found, frozenset(row["id"] for row in rows if row["lapsed"]))


async def lapsed(db: AsyncConnection, source: str, *, most: int) -> list[LostPush]:
    """Return pushes with an expired lease, the oldest first."""
    rows = await db.execute(_LAPSED, {"source": source, "most": most})
    return [LostPush(*row) for row in rows]


async def unseen(
    db: AsyncConnection, source: str, request_seconds: float, *, most: int
) -> list[LostPush]:
    """Return pushes too old to arrive, to active objects without a pending fetch."""
    values = {"source": source, "request_seconds": request_seconds, "most": most}
    rows = await db.execute(_UNSEEN, values)
    return [LostPush(*row) for row in rows]


async def end_old(db: AsyncConnection, source: str, request_seconds: float, *, most: int) -> int:
    """End pushes too old to arrive that need no fetch, and return how many.

    Their object is gone, or their event is final, so a fetch precedes the next push.
    """
    values = {"source": source, "request_seconds": request_seconds, "most": most}
    rows = await db.execute(_END_OLD, values)
    return len(rows.all())


async def insert(db: AsyncConnection, intents: Sequence[NewIntent]) -> None:
    """Store intents as sent."""
    if intents:
        await driver(db).execute(_INSERT, [_row(new) for new in intents])


async def traceparents(db: AsyncConnection, intent_ids: Sequence[str]) -> dict[str, str]:
    """Return the `traceparent` of each of these pushes that has a trace."""
    rows = await driver(db).fetch(_TRACES, list(intent_ids))
    return {row["id"]: row["traceparent"] for row in rows}


async def take(db: AsyncConnection, intent_ids: Sequence[str], lease_seconds: float) -> None:
    """Lease intents without an answer, which are sent again."""
    if intent_ids:
        await driver(db).execute(_TAKE, list(intent_ids), lease_seconds)


async def replace_body(db: AsyncConnection, intent: Intent, lease_seconds: float) -> bool:
    """Store another body for an intent that no worker has sent; return whether it was stored."""
    body = orjson.dumps(intent.body).decode()
    return bool(await driver(db).fetch(_REPLACE_BODY, intent.id, body, lease_seconds))


async def spend_key(db: AsyncConnection, intent_id: str) -> None:
    """Mark the key of a push as spent: a repeat would return the same failure forever."""
    await driver(db).execute(_SPEND_KEY, intent_id)


async def set_state(db: AsyncConnection, intent_ids: Iterable[str], state: IntentState) -> None:
    """Store the state of intents; an answered intent stays answered."""
    ids = list(intent_ids)
    if ids:
        await driver(db).execute(_SET, ids, state.value)


def _row(new: NewIntent) -> dict[str, Any]:
    intent = new.intent
    return {
        "id": intent.id,
        "source_system": new.source_system,
        "entity_type": new.entity_type,
        "entity_id": new.entity_id,
        "external_id": new.external_id,
        "sync_event_id": new.sync_event_id,
        "kind": intent.kind,
        "changes": orjson.dumps(intent.changes).decode(),
        "body": orjson.dumps(intent.body).decode(),
        "revision": intent.revision,
        "lease": new.lease_seconds,
        "traceparent": new.traceparent,
    }


def _intent(row: Record) -> Intent:
    return Intent(
        id=row["id"],
        kind=IntentKind(row["kind"]),
        changes=orjson.loads(row["changes"]),
        revision=row["revision"],
        state=IntentState(row["state"]),
        key_alive=row["key_alive"],
        may_arrive=row["may_arrive"],
        body=orjson.loads(row["body"]),
    )
