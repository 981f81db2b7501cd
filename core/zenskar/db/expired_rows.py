"""Delete old rows, a small batch in each statement, found by the primary key.

An id is a UUIDv7: the ids of all rows before a moment are below one id.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.ids import bound

BATCH = 1000
_FINAL = "status IN ('succeeded', 'ignored')"
"""A dead letter of any age waits for a person."""


class Piece(NamedTuple):
    """The number of rows that a statement changed, and the last id."""

    rows: int
    last: str | None


# Another transaction processes locked rows: they are skipped until the next run.
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
_AUDIT = text("""
    WITH old AS MATERIALIZED (
        SELECT id FROM operator_actions
        WHERE id > CAST(:after AS uuid) AND id < CAST(:bound AS uuid)
        ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
    ), actions AS (
        DELETE FROM operator_actions AS a USING old WHERE a.id = old.id RETURNING a.id
    )
    SELECT count(*) AS rows, CAST(max(CAST(id AS text)) AS text) AS last FROM actions
""")
_RUNS = text("""
    WITH old AS MATERIALIZED (
        SELECT id FROM operator_runs
        WHERE id > CAST(:after AS uuid) AND id < CAST(:bound AS uuid) AND ended_at IS NOT NULL
        ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
    ), runs AS (
        DELETE FROM operator_runs AS r USING old WHERE r.id = old.id RETURNING r.id
    )
    SELECT count(*) AS rows, CAST(max(CAST(id AS text)) AS text) AS last FROM runs
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
        "audit": _AUDIT,
        "runs": _RUNS,
        "idempotency_keys": _IDEMPOTENCY_KEYS,
    }
)
FIRST = "00000000-0000-0000-0000-000000000000"


async def forget(db: AsyncConnection, kind: str, before: datetime, after: str) -> Piece:
    """Delete one batch of rows older than a moment, with ids above `after`."""
    given: dict[str, object] = {"most": BATCH}
    if kind == "idempotency_keys":
        given["before"] = before.timestamp()
    else:
        given |= {"after": after, "bound": bound(before)}
    row = (await db.execute(KINDS[kind], given)).one()  # type: ignore[call-overload]
    return Piece(row.rows, row.last)
