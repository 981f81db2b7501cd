"""A database as after years: customers, events of a month, dead letters, held deletes, a queue."""

import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

HOT = 1
"""The number of a customer with many events."""
HELD, WAITING = 20_000, 80_000
_DAYS, _LAST_HOUR = 30, 60_000
_PIECE = 1_000_000
_SECONDS = 3600.0
"""A limit for each statement."""
_GB = 1_000_000_000
_SERVER_BYTES = 7 * _GB
"""The log of the server, and the files of sorts."""
_CUSTOMER_BYTES, _EVENT_BYTES, _ENTRY_BYTES = 1500, 550, 255
"""Measured with indexes: a customer with its mappings, an event with its push, an entry."""


class NoRoom(Exception):
    """The disk is too small; the message names the space."""


@dataclass(frozen=True, slots=True)
class Size:
    """The numbers of rows; `entries` is that of the history of each event."""

    customers: int = 1_000_000
    events: int = 10_000_000
    entries: int = 2
    actions: int = 100_000
    runs: int = 2000

    @property
    def bytes(self) -> int:
        """The space of the database and of its server."""
        events = self.events * (_EVENT_BYTES + self.entries * _ENTRY_BYTES)
        return _SERVER_BYTES + self.customers * _CUSTOMER_BYTES + events


def customer(number: str) -> str:
    """Return the SQL of a customer's id."""
    return f"CAST('0190a000-0000-7000-8000-' || lpad(to_hex({number}), 12, '0') AS uuid)"


# The newest events of the last hour; the others of the month before.
_AT = f"""
    CASE WHEN n > $1::bigint - {_LAST_HOUR}
        THEN now() - interval '1 hour' * (($1::bigint - n) / {_LAST_HOUR}.0)
        ELSE now() - interval '1 hour'
            - interval '{_DAYS} days' * (1 - n / ($1::bigint - {_LAST_HOUR}.0)) END
"""
_CUSTOMERS = f"""
    INSERT INTO customers (id, name, email, phone, address, metadata)
    SELECT {customer("n")}, 'Customer ' || n, 'customer.' || n || '@example.org', '+41' || n,
        '{{"line1": "Bahnhofstrasse 1", "city": "Zürich", "country": "CH"}}',
        jsonb_build_object('number', CAST(n AS text))
    FROM generate_series(1, $1::bigint) AS n
"""
_MAPPINGS = f"""
    INSERT INTO external_mappings (source_system, entity_type, external_id, entity_id, base,
        asof_low, asof_high, synced_version)
    SELECT source, 'customer', prefix || n, {customer("n")},
        jsonb_build_object('/name', 'Customer ' || n,
                           '/email', 'customer.' || n || '@example.org'), 1, 2, 1
    FROM generate_series(1, $1::bigint) AS n,
         (VALUES ('first', 'one_'), ('second', 'two_')) AS connection(source, prefix)
"""
# Each 400th event is one of the hot customer, each 5000th a dead letter. The newest events wait:
# held deletes and pushes.
_EVENTS = f"""
    INSERT INTO sync_events (id, direction, source_system, entity_type, entity_id, external_id,
        event_type, external_event_id, correlation_id, status, reason, attempts, error_kind,
        error_message, payload, created_at, updated_at)
    SELECT CAST(lpad(to_hex(CAST(extract(epoch FROM at) * 1000 AS bigint)), 12, '0') || '70008000'
                || lpad(to_hex(n), 12, '0') AS uuid),
        direction, source, 'customer', CASE WHEN NOT held THEN {customer("c")} END,
        CASE source WHEN 'first' THEN 'one_' ELSE 'two_' END || c,
        CASE WHEN held THEN 'customer.deleted' ELSE 'customer.updated' END,
        CASE WHEN direction = 'inbound' THEN 'evt_' || n END, 'correlation-' || n / 3,
        CASE WHEN dead THEN 'dead' WHEN held OR waiting THEN 'pending'
             WHEN n % 7 = 0 THEN 'ignored' ELSE 'succeeded' END,
        CASE WHEN dead OR held OR waiting THEN NULL
             WHEN n % 7 = 0 THEN 'echo' WHEN n % 1000 = 1 THEN 'deleted' ELSE 'applied' END,
        CASE WHEN dead THEN 5 ELSE 0 END, CASE WHEN dead THEN 'rejected' END,
        CASE WHEN dead THEN 'the field ' || n / 5000 % 40 || ' of object one_' || c
                 || ' was refused: request req_' || n END,
        CASE WHEN held THEN '{{"data": {{"object": {{"entity_type": "customer", "external_id": '
                || '"two_' || c || '", "record_id": null, "document": null}}}}}}'
             ELSE '{{"data": {{"direction": "' || direction || '", "object": {{"entity_type": '
                || '"customer", "document": {{"name": "Customer ' || c || '"}}}}}}}}' END,
        at, at
    FROM (
        SELECT n, {_AT} AS at, n % 5000 = 0 AS dead, n % 5 = 1 AND newest AS held,
            n % 5 > 1 AND newest AS waiting,
            CASE WHEN n % 5 = 1 AND newest OR n % 3 > 0 AND NOT newest
                THEN 'inbound' ELSE 'outbound' END AS direction,
            CASE WHEN n % 5 = 1 AND newest OR n % 2 = 0 THEN 'second' ELSE 'first' END AS source,
            CASE WHEN n % 400 = 2 THEN {HOT} ELSE 1 + n * 7919 % $4::bigint END AS c
        FROM (SELECT n, n > $1::bigint - $5::bigint AS newest
              FROM generate_series($2::bigint, $3::bigint) AS n) AS numbered
    ) AS event
"""
_HISTORY = """
    INSERT INTO sync_event_history (event_id, at, status, detail)
    SELECT e.id, e.created_at + step * interval '20 milliseconds',
        CASE step WHEN 1 THEN 'pending' ELSE e.status END,
        CASE step WHEN 1 THEN '{"event": "' || coalesce(e.external_event_id, 'change') || '"}'
             ELSE '{"reason": "applied", "record_version": 3, "changes": {"/name": "Customer"},'
                || ' "before": {"/name": "customer"}, "seen": {"/name": "Customer"}}' END
    FROM (SELECT id, created_at, status, external_event_id FROM sync_events
          WHERE id > $1::uuid ORDER BY id LIMIT $2::bigint) AS e,
         generate_series(1, $3::integer) AS step
    ORDER BY e.id, step
"""
_PIECE_END = """
    SELECT max(CAST(id AS text)) FROM
        (SELECT id FROM sync_events WHERE id > $1::uuid ORDER BY id LIMIT $2::bigint) AS piece
"""
_PUSHES = """
    INSERT INTO push_intents (id, source_system, entity_type, entity_id, external_id,
        sync_event_id, kind, changes, body, revision, state, created_at, resolved_at)
    SELECT CAST(id AS text), source_system, entity_type, entity_id, external_id, id, 'update',
        '{"/name": "Customer"}', '{"name": "Customer"}', 1,
        CASE status WHEN 'dead' THEN 'failed' WHEN 'pending' THEN 'unknown' ELSE 'answered' END,
        created_at, updated_at
    FROM sync_events WHERE direction = 'outbound'
        AND (status IN ('succeeded', 'dead') OR status = 'pending' AND CAST(id AS text) LIKE '%00')
"""
_OUTBOX = """
    INSERT INTO outbox (topic, key, source_system, envelope, available_at, parked, created_at)
    SELECT 'sync.' || direction, source_system || ':' || external_id, source_system,
        coalesce(payload, '{}'), created_at + interval '1 day' * CAST(direction = 'inbound' AS int),
        direction = 'inbound', created_at
    FROM sync_events WHERE status NOT IN ('succeeded', 'ignored') AND status = 'pending'
    ORDER BY id
"""
_ACTIONS = f"""
    INSERT INTO operator_actions (id, at, by, place, action, target, reason, state, ended_at)
    SELECT {customer("n")}, now(), 'Ada', '192.0.2.1', 'retry', 'first', 'a reason', 'done', now()
    FROM generate_series(1, $1::bigint) AS n
"""
_RUNS = f"""
    INSERT INTO operator_runs (id, kind, source_system, by, place, state, ended_at, result, plan)
    SELECT {customer("n")}, 'compare', 'first', 'Ada', '192.0.2.1', 'done', now(),
        '{{"found": {{}}}}', repeat('{{"id": "019a0000-0000-7000-8000-000000000001"}}', 500)
    FROM generate_series(1, $1::bigint) AS n
"""
_PAUSE = """
    INSERT INTO connections (name, state, reason, paused_at)
    VALUES ('second', 'paused', 'delete_guard', now())
"""
_INDEXES = """
    SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS made FROM pg_index
    WHERE indrelid = ANY(ARRAY['customers', 'external_mappings', 'sync_events',
                               'push_intents']::regclass[]) AND NOT indisprimary
"""
FIRST = "00000000-0000-0000-0000-000000000000"


def require_room(folder: Path, size: Size) -> None:
    """Print the needed and the free space of a folder. Raises `NoRoom` when it is too small."""
    free = shutil.disk_usage(folder).free
    print(
        f"  needs {size.bytes / _GB:.1f} GB in {folder}, {free / _GB:.1f} GB are free", flush=True
    )
    if free < size.bytes:
        raise NoRoom(
            f"{folder} has {free / _GB:.1f} GB free and needs {size.bytes / _GB:.1f} GB: "
            "free space, set TMPDIR to another disk, or choose a smaller SCALE"
        )


def progress(began: float) -> Callable[[str], None]:
    """Return a function that prints a step of a fill, with the seconds since its begin."""
    return lambda step: print(f"  {time.monotonic() - began:6.0f} s  {step}", flush=True)


def _silent(_step: str) -> None:
    """Print nothing."""


async def fill(database: str, size: Size, report: Callable[[str], None] = _silent) -> None:
    """Fill a migrated database that is empty, and report each step."""
    connection = await asyncpg.connect(database, command_timeout=_SECONDS)
    try:
        await connection.execute("SET synchronous_commit = off; SET maintenance_work_mem = '1GB'")
        async with _without_indexes(connection):
            await connection.execute(_CUSTOMERS, size.customers)
            await connection.execute(_MAPPINGS, size.customers)
            report(f"{size.customers:,} customers")
            await _fill_events(connection, size, report)
        report("indexes")
        await _fill_history(connection, size, report)
        for statement in (_PUSHES, _OUTBOX, _PAUSE):
            await connection.execute(statement)
        await connection.execute(_ACTIONS, size.actions)
        await connection.execute(_RUNS, size.runs)
        # As the automatic vacuum of a server that has run for a while.
        await connection.execute("VACUUM (ANALYZE)")
        report("vacuum")
    finally:
        await connection.close()


async def _fill_history(
    connection: asyncpg.Connection, size: Size, report: Callable[[str], None]
) -> None:
    """Add entries to the history of each event."""
    after: str | None = FIRST
    done = 0
    while after is not None:
        last = await connection.fetchval(_PIECE_END, after, _PIECE)
        if last is not None:
            await connection.execute(_HISTORY, after, _PIECE, size.entries)
            done = min(done + _PIECE, size.events)
            total = size.events * size.entries
            report(f"{done * size.entries:,} of {total:,} entries of history")
        after = last


async def _fill_events(
    connection: asyncpg.Connection, size: Size, report: Callable[[str], None]
) -> None:
    newest = min(HELD + WAITING, size.events // 10)
    for first in range(1, size.events + 1, _PIECE):
        last = min(first + _PIECE - 1, size.events)
        await connection.execute(_EVENTS, size.events, first, last, size.customers, newest)
        report(f"{last:,} of {size.events:,} events")


@asynccontextmanager
async def _without_indexes(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Drop the indexes of the large tables, and build them at the end: that is faster."""
    found = await connection.fetch(_INDEXES)
    for index in found:
        await connection.execute(f"DROP INDEX {index['name']}")
    yield
    for index in found:
        await connection.execute(index["made"])
