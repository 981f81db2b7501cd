"""Erases the personal data of a customer in each table; ids and events stay."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypedDict
from urllib.parse import quote_plus

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.schema.customer_columns import CLEARED, LISTED
from zenskar.model.envelope import DEAD_LETTER
from zenskar.model.fields import CUSTOMER

ERASED = "erased"
_KEPT = frozenset(
    {
        *("verdict", "record_version", "revision", "fetch_wanted", "answer_to", "step", "reason"),
        *("idempotency_key", "external_id", "received_at", "error_kind", "retry_in_seconds"),
        *("by", "from", "look", "merged_into", "purged", "candidates", ERASED),
    }
)
"""Members of a history entry that stay after an erasure: none of them holds a field value."""
_SHORTEST = 4
"""Shorter values would match texts without any relation to the customer."""
_SHORTEST_ID = 8
"""Shorter external ids, which may be numbers, would match as well."""

_UNDER_WAY = text("""
    SELECT count(*) FROM push_intents
    WHERE entity_id = CAST(:id AS uuid) AND state = 'sent' AND lease_until > now()
""")
_OBJECTS = text("""
    SELECT source_system, external_id, state, base FROM external_mappings
    WHERE entity_type = :type AND entity_id = CAST(:id AS uuid)
""")
_ROW = text(f"""
    SELECT {LISTED} FROM customers WHERE id = CAST(:id AS uuid)
""")  # noqa: S608 - no value is put into the text
_EVENTS = text("""
    SELECT CAST(id AS text) AS id, status, payload FROM sync_events
    WHERE entity_id = CAST(:id AS uuid)
    UNION ALL
    SELECT CAST(e.id AS text), e.status, e.payload FROM sync_events AS e
    JOIN external_mappings AS m ON m.source_system = e.source_system
        AND m.external_id = e.external_id
    WHERE m.entity_id = CAST(:id AS uuid) AND m.entity_type = :type
      AND e.entity_id IS NULL AND e.external_id IS NOT NULL
""")
_UNREADABLE = text("""
    SELECT CAST(id AS text) AS id, status, payload FROM sync_events
    WHERE status = 'dead' AND entity_id IS NULL AND payload IS NOT NULL
      AND EXISTS (SELECT FROM unnest(CAST(:values AS text[])) AS v
                  WHERE position(lower(v) IN lower(translate(payload, '\\', ''))) > 0)
""")
_HISTORY = text("""
    SELECT CAST(event_id AS text) AS event_id, id, detail FROM sync_event_history
    WHERE event_id = ANY(CAST(:ids AS uuid[])) AND detail IS NOT NULL
""")
_OUTBOX = text("""
    SELECT id, topic, envelope FROM outbox
    WHERE key = ANY(CAST(:keys AS text[])) FOR UPDATE
""")

_WRITE_EVENT = text("""
    UPDATE sync_events SET payload = :payload, error_message = NULL WHERE id = CAST(:id AS uuid)
""")
_WRITE_HISTORY = text("""
    UPDATE sync_event_history SET detail = :detail
    WHERE event_id = CAST(:event_id AS uuid) AND id = :id
""")
_WRITE_OUTBOX = text("UPDATE outbox SET envelope = :envelope WHERE id = :id")
_DROP_OUTBOX = text("DELETE FROM outbox WHERE id = :id")
_REST = {
    "customers": f"""
        UPDATE customers SET {CLEARED}, deleted_at = coalesce(deleted_at, now()),
            updated_at = now(), erased_at = coalesce(erased_at, now())
        WHERE id = CAST(:id AS uuid)
    """,  # noqa: S608 - no value is put into the text
    "external_mappings": """
        UPDATE external_mappings SET base = '{}', version = NULL, memo = NULL,
            updated_at = now()
        WHERE entity_type = 'customer' AND entity_id = CAST(:id AS uuid)
          AND (base <> '{}' OR version IS NOT NULL OR memo IS NOT NULL)
    """,
    "push_intents": """
        UPDATE push_intents SET changes = '{}', body = '{}'
        WHERE entity_id = CAST(:id AS uuid) AND (changes <> '{}' OR body <> '{}')
    """,
    # The key stays reserved: a late repeat of the request must not create the customer again.
    "idempotency_keys": """
        UPDATE idempotency_keys SET request_hash = '', response = '{}'
        WHERE entity_id = CAST(:id AS uuid) AND response <> '{}'
    """,
    "erasure_requests": "DELETE FROM erasure_requests WHERE entity_id = CAST(:id AS uuid)",
}
_ERROR_TABLES = ("connections", "connection_history")
"""Tables with texts of external systems, which may repeat a value."""

_REQUEST = text("""
    INSERT INTO erasure_requests (entity_id, source_system)
    SELECT unnest(CAST(:ids AS uuid[])), :source
    ON CONFLICT (entity_id) DO NOTHING
""")
_REQUESTED = text("""
    SELECT CAST(entity_id AS text) AS id, source_system FROM erasure_requests ORDER BY requested_at
""")
_ERASED_AT = text("SELECT erased_at FROM customers WHERE id = CAST(:id AS uuid)")
_LATE = text("""
    SELECT DISTINCT CAST(c.id AS text) FROM sync_events AS e
    LEFT JOIN external_mappings AS m ON e.entity_id IS NULL
        AND m.external_id = e.external_id AND m.source_system = e.source_system
    JOIN customers AS c ON c.id = coalesce(e.entity_id, m.entity_id)
    WHERE e.status NOT IN ('succeeded', 'ignored') AND e.payload IS NOT NULL
      AND c.erased_at IS NOT NULL
""")


async def erase(db: AsyncConnection, customer_id: str) -> dict[str, int]:
    """Erase a customer whose row is locked; return the number of changed rows by table."""
    known = await _values(db, customer_id)
    done = {
        **await _events(db, customer_id, known),
        "outbox": await _outbox(db, customer_id),
    }
    for table, change in _REST.items():
        done[table] = (await db.execute(text(change), {"id": customer_id})).rowcount
    for table in _ERROR_TABLES:
        done[table] = (await db.execute(_erase_errors(table), {"values": known})).rowcount
    return done


async def under_way(db: AsyncConnection, customer_id: str) -> bool:
    """Return whether a worker holds a push of this customer at this moment."""
    return bool(await db.scalar(_UNDER_WAY, {"id": customer_id}))


async def request_erasure(db: AsyncConnection, source: str, customer_ids: Iterable[str]) -> None:
    """Request the erasure of customers whose objects a source system has purged."""
    await db.execute(_REQUEST, {"ids": sorted(customer_ids), "source": source})


async def requested(db: AsyncConnection) -> list[tuple[str, str]]:
    """Return the customers to erase, each with the source system of its request."""
    return [(row.id, row.source_system) for row in await db.execute(_REQUESTED)]


class LinkedObject(TypedDict):
    """An external object of a customer, with the state of its mapping."""

    source_system: str
    external_id: str
    state: str


async def objects(db: AsyncConnection, customer_id: str) -> list[LinkedObject]:
    """Return the external objects of a customer."""
    rows = await db.execute(_OBJECTS, {"id": customer_id, "type": CUSTOMER.entity_type})
    return [
        {"source_system": r.source_system, "external_id": r.external_id, "state": r.state}
        for r in rows
    ]


async def erased_at(db: AsyncConnection, customer_id: str) -> Any:
    """Return the time of a customer's erasure, None without one."""
    return await db.scalar(_ERASED_AT, {"id": customer_id})


async def late(db: AsyncConnection) -> list[str]:
    """Return the erased customers with unfinished events that carry a payload again."""
    return list((await db.execute(_LATE)).scalars())


async def _values(db: AsyncConnection, customer_id: str) -> list[str]:
    """Return the identifying values of the customer, to search in texts without an id."""
    row = (await db.execute(_ROW, {"id": customer_id})).one()
    found = await db.execute(_OBJECTS, {"id": customer_id, "type": CUSTOMER.entity_type})
    named = [getattr(row, name) for name in CUSTOMER.plain]
    named += [(each.base or {}).get(path) for each in found for _, path in CUSTOMER.leaves]
    return sorted({v for v in named if isinstance(v, str) and len(v) >= _SHORTEST})


async def _events(db: AsyncConnection, customer_id: str, known: Sequence[str]) -> dict[str, int]:
    ids = [each["external_id"] for each in await objects(db, customer_id)]
    named = [customer_id, *(name for name in ids if len(name) >= _SHORTEST_ID)]
    values = [form for value in (*known, *named) for form in _forms(value)]
    given = {"id": customer_id, "type": CUSTOMER.entity_type, "values": values}
    events = [*await db.execute(_EVENTS, given)]
    events += [*await db.execute(_UNREADABLE, given)]
    for event in events:
        final = event.status in {"succeeded", "ignored"}
        payload = None if final or event.payload is None else _blank(event.payload)
        await db.execute(_WRITE_EVENT, {"id": event.id, "payload": payload})
    entries = await db.execute(_HISTORY, {"ids": sorted({e.id for e in events})})
    changed = [(e, text) for e in entries if (text := _without_values(e.detail)) is not None]
    for entry, detail in changed:
        await db.execute(
            _WRITE_HISTORY,
            {"event_id": entry.event_id, "id": entry.id, "detail": detail},
        )
    return {"sync_events": len(events), "sync_event_history": len(changed)}


def _forms(value: str) -> set[str]:
    """Return a value as a text may hold it: plain, in JSON, or in a URL.

    A kept webhook is JSON within JSON, so the search ignores backslashes.
    """
    return {value.replace("\\", ""), json.dumps(value)[1:-1].replace("\\", ""), quote_plus(value)}


async def _outbox(db: AsyncConnection, customer_id: str) -> int:
    keys = [f"{CUSTOMER.entity_type}:{customer_id}"]
    keys += [
        f"{each['source_system']}:{each['external_id']}" for each in await objects(db, customer_id)
    ]
    rows = [*await db.execute(_OUTBOX, {"keys": keys})]
    for row in rows:
        blank = None if row.topic == DEAD_LETTER else _blank(row.envelope)
        if blank is None:
            # The dead sync event stays; this message was its copy.
            await db.execute(_DROP_OUTBOX, {"id": row.id})
        else:
            await db.execute(_WRITE_OUTBOX, {"id": row.id, "envelope": blank})
    return len(rows)


def _blank(envelope: str) -> str | None:
    """Return a message without its document, None when it cannot be read."""
    try:
        message = orjson.loads(envelope)
        data = message["data"]
        seen = data.get("object")
        if data.get("document") is not None:
            data["document"] = {}
        if isinstance(seen, dict) and seen.get("document") is not None:
            seen["document"] = {}
            seen.pop("version", None)
            seen.pop("memo", None)
        if data.pop("unread", None) is not None:
            data["ignored"] = ERASED
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    return orjson.dumps(message).decode()


def _without_values(detail: str) -> str | None:
    """Return an entry without field values, None when it holds none."""
    try:
        known = orjson.loads(detail)
    except ValueError:
        known = {}
    kept = {name: value for name, value in known.items() if name in _KEPT}
    if kept == known and known:
        return None
    return orjson.dumps({**kept, ERASED: True}).decode()


def _erase_errors(table: str) -> Any:
    return text(f"""
        UPDATE {table} SET error_message = '{ERASED}'
        WHERE EXISTS (SELECT FROM unnest(CAST(:values AS text[])) AS v
                      WHERE position(v IN error_message) > 0)
    """)  # noqa: S608 - the table is one of two
