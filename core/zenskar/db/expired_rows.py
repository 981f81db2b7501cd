"""Let go of what is old, a small piece in each statement, found by the primary key.

An id is a UUIDv7: everything before a moment lies below one id.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

BATCH = 1000
_FINAL = "status IN ('succeeded', 'ignored')"
"""A dead letter waits for a person, however old it is."""


class Piece(NamedTuple):
    """How many rows a statement changed, and the last id that it came to."""

    rows: int
    last: str | None


# Locked rows are being worked on, and left for the next time: nobody waits for this.
_HISTORY = text(f"""
    WITH old AS MATERIALIZED (
        SELECT id FROM sync_events
        WHERE id > CAST(:after AS uuid) AND id < CAST(:bound AS uuid) AND {_FINAL}
        ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
    ), entries AS (
        DELETE FROM sync_event_history AS h USING old WHERE h.event_id = old.id
    ), events AS (
        DELETE FROM sync_events AS e USING old WHERE e.id = old.id RETURNING e.id
    )
    SELECT count(*) AS rows, CAST(max(CAST(id AS text)) AS text) AS last FROM events
""")  # noqa: S608 - no value is put into the text
_PAYLOADS = text(f"""
    WITH old AS MATERIALIZED (
        SELECT id FROM sync_events
        WHERE id > CAST(:after AS uuid) AND id < CAST(:bound AS uuid)
          AND {_FINAL} AND payload IS NOT NULL
        ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
    ), events AS (
        UPDATE sync_events AS e SET payload = NULL FROM old WHERE e.id = old.id RETURNING e.id
    )
    SELECT count(*) AS rows, CAST(max(CAST(id AS text)) AS text) AS last FROM events
""")  # noqa: S608 - no value is put into the text
_PUSHES = text("""
    WITH old AS MATERIALIZED (
        SELECT id FROM push_intents
        WHERE id > :after AND id < :bound AND state NOT IN ('sent', 'unknown')
        ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
    ), pushes AS (
        DELETE FROM push_intents AS p USING old WHERE p.id = old.id RETURNING p.id
    )
    SELECT count(*) AS rows, max(id) AS last FROM pushes
""")
_IDEMPOTENCY_KEYS = text("""
    WITH old AS MATERIALIZED (
        SELECT ctid AS place FROM idempotency_keys
        WHERE created_at < to_timestamp(:before) LIMIT :most FOR UPDATE SKIP LOCKED
    ), keys AS (
        DELETE FROM idempotency_keys AS k USING old WHERE k.ctid = old.place RETURNING k.key
    )
    SELECT count(*) AS rows, CAST(NULL AS text) AS last FROM keys
""")
KINDS: Mapping[str, object] = MappingProxyType(
    {
        "history": _HISTORY,
        "payloads": _PAYLOADS,
        "pushes": _PUSHES,
        "idempotency_keys": _IDEMPOTENCY_KEYS,
    }
)
FIRST = "00000000-0000-0000-0000-000000000000"


def bound(before: datetime) -> str:
    """Return the id below which everything was made before a moment."""
    digits = f"{int(before.timestamp() * 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-000000000000"


async def forget(db: AsyncConnection, kind: str, before: datetime, after: str) -> Piece:
    """Let go of one piece of what is older than a moment, from an id on."""
    given: dict[str, object] = {"most": BATCH}
    if kind == "idempotency_keys":
        given["before"] = before.timestamp()
    else:
        given |= {"after": after, "bound": bound(before)}
    row = (await db.execute(KINDS[kind], given)).one()  # type: ignore[call-overload]
    return Piece(row.rows, row.last)
