"""The state of each connection, active or paused, and the reason."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.model.interval import Interval

ACTIVE, PAUSED = "active", "paused"
DELETE_GUARD = "delete_guard"
"""The reason of a pause after too many deletes."""
OTHER_ACCOUNT, SAME_ACCOUNT = "other_account", "same_account"
"""The reasons of pauses for credentials of another account, or of another connection's account."""
PAUSED_BY_OPERATOR = "paused by an operator"
"""The reason of a pause that an operator has requested."""
HOLDS_INBOUND = frozenset({DELETE_GUARD, OTHER_ACCOUNT, SAME_ACCOUNT})
"""Reasons of pauses during which events of the external system wait as well."""


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """The state of a connection; a connection without a row is active.

    Its calls wait for `held_seconds`, because the external system requested that. Deletes that were
    received before `deletes_released_at` pass its guard.
    """

    name: str
    state: str = ACTIVE
    reason: str | None = None
    error_kind: str | None = None
    error_message: str | None = None
    error_at: datetime | None = None
    paused_at: datetime | None = None
    account: str | None = None
    held_until: datetime | None = None
    held_seconds: float = 0.0
    deletes_released_at: datetime | None = None

    @property
    def paused(self) -> bool:
        """Whether calls to the external system are stopped."""
        return self.state == PAUSED

    @property
    def holds_inbound(self) -> bool:
        """Whether events of the external system wait as well."""
        return self.paused and self.reason in HOLDS_INBOUND


@dataclass(frozen=True, slots=True)
class ConnectionChange:
    """A pause, or the end of a pause with its reason. `by` names the operator, if any.

    The error message of an end describes the result for the held events.
    """

    name: str
    at: datetime
    state: str
    reason: str | None
    error_kind: str | None
    error_message: str | None
    by: str | None


_STATES = text("""
    SELECT name, state, reason, error_kind, error_message, error_at, paused_at, account,
           CASE WHEN held_until > now() THEN held_until END,
           CASE WHEN held_until > now()
                THEN CAST(extract(epoch FROM held_until - now()) AS double precision) ELSE 0 END,
           deletes_allowed_through
    FROM connections
""")

_PAUSE = text("""
    WITH paused AS (
    INSERT INTO connections AS c
        (name, state, reason, error_kind, error_message, error_at, paused_at)
    VALUES (:name, 'paused', :reason, :error_kind, :error_message,
            CASE WHEN CAST(:error_kind AS text) IS NOT NULL THEN now() END, now())
    ON CONFLICT (name) DO UPDATE
    SET state = 'paused', reason = excluded.reason, updated_at = now(),
        error_kind = coalesce(excluded.error_kind, c.error_kind),
        error_message = coalesce(excluded.error_message, c.error_message),
        error_at = coalesce(excluded.error_at, c.error_at), paused_at = now()
    WHERE c.state <> 'paused'
    RETURNING name)
    INSERT INTO connection_history (name, state, reason, error_kind, error_message, by)
    SELECT name, 'paused', :reason, :error_kind, :error_message, :by FROM paused
    RETURNING name
""")

_RESUMED = text("""
    INSERT INTO connection_history (name, state, reason, error_message, by)
    SELECT name, 'active', reason, :note, :by FROM connections
    WHERE name = :name AND state = 'paused'
    RETURNING name
""")

_HISTORY = text("""
    SELECT name, at, state, reason, error_kind, error_message, by FROM connection_history
    WHERE name = ANY(CAST(:names AS text[])) AND at >= :since ORDER BY at DESC, id DESC LIMIT :most
""")

_RESUME = text("""
    INSERT INTO connections (name) VALUES (:name)
    ON CONFLICT (name) DO UPDATE
    SET state = 'active', reason = NULL, paused_at = NULL, updated_at = now()
""")

_RELEASE = text("""
    UPDATE outbox SET available_at = now(), parked = false
    WHERE source_system = :name AND available_at > now() AND claimed_until IS NULL
""")

# The lock waits for a resumption that has not committed yet.
_RELEASE_IF_RESUMED = text("""
    WITH resumed AS MATERIALIZED (
        SELECT name FROM connections
        WHERE name = :name AND resumed_at > now() - make_interval(secs => :seconds)
        FOR SHARE
    )
    UPDATE outbox SET available_at = now(), parked = false FROM resumed
    WHERE source_system = resumed.name AND available_at > now() AND claimed_until IS NULL
    RETURNING outbox.id
""")

_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('deletes:' || :name, 0))")

_DELETES = text("""
    SELECT count(*) FROM sync_events AS e
    WHERE e.source_system = :name AND e.reason = 'deleted'
      AND e.updated_at > now() - make_interval(secs => :window)
      AND e.created_at > coalesce(
          (SELECT deletes_allowed_through FROM connections WHERE name = :name), '-infinity')
""")

_COUNT_RELEASED = text("""
    SELECT count(*) FROM sync_events AS e JOIN connections AS c ON c.name = e.source_system
    WHERE e.id = ANY(CAST(:ids AS uuid[])) AND e.created_at <= c.deletes_allowed_through
""")

_RELEASE_DELETES = text("UPDATE connections SET deletes_allowed_through = now() WHERE name = :name")

_CLOSE_GUARD = text("""
    UPDATE connections SET deletes_allowed_through = NULL
    WHERE name = :name AND deletes_allowed_through IS NOT NULL RETURNING name
""")

_HOLD = text("""
    INSERT INTO connections AS c (name, held_until)
    VALUES (:name, now() + make_interval(secs => :seconds))
    ON CONFLICT (name) DO UPDATE
    SET held_until = greatest(c.held_until, excluded.held_until), updated_at = now()
""")

_END_HOLD = text("""
    UPDATE connections SET held_until = NULL, resumed_at = clock_timestamp() WHERE name = :name
""")

_ERROR = text("""
    INSERT INTO connections (name, error_kind, error_message, error_at)
    VALUES (:name, :error_kind, :error_message, now())
    ON CONFLICT (name) DO UPDATE
    SET error_kind = excluded.error_kind, error_message = excluded.error_message,
        error_at = now(), updated_at = now()
""")


_CLOCKS = text("""
    SELECT name, clock_offset_low, clock_offset_high FROM connections
    WHERE clock_offset_low IS NOT NULL
""")

_NOTE_CLOCK = text("""
    INSERT INTO connections (name, clock_offset_low, clock_offset_high, clock_measured_at)
    VALUES (:name, :low, :high, now())
    ON CONFLICT (name) DO UPDATE
    SET clock_offset_low = excluded.clock_offset_low, clock_measured_at = now(),
        clock_offset_high = excluded.clock_offset_high
""")


async def states(db: AsyncConnection) -> dict[str, ConnectionState]:
    """Return the states of the connections that were ever paused or failed, by name."""
    rows = await db.execute(_STATES)
    return {row.name: ConnectionState(*row) for row in rows}


async def pause(
    db: AsyncConnection,
    name: str,
    reason: str,
    error_kind: str | None = None,
    error_message: str | None = None,
    by: str | None = None,
) -> bool:
    """Pause a connection; return whether it was active before, so that one alert is raised."""
    values = {
        "name": name,
        "reason": reason,
        "error_kind": error_kind,
        "error_message": error_message,
        "by": by,
    }
    return (await db.execute(_PAUSE, values)).first() is not None


async def resume(
    db: AsyncConnection, name: str, by: str | None = None, note: str | None = None
) -> bool:
    """Resume a connection and make its waiting messages due. The caller wakes the workers.

    Returns whether the connection was paused.
    """
    resumed = await db.execute(_RESUMED, {"name": name, "by": by, "note": note})
    await db.execute(_RESUME, {"name": name})
    await db.execute(_END_HOLD, {"name": name})
    await db.execute(_RELEASE, {"name": name})
    return resumed.first() is not None


async def release_if_resumed(db: AsyncConnection, name: str, seconds: float) -> bool:
    """Make waiting messages due if their connection was resumed within the last `seconds`.

    A resumption finds no message that is being processed; so a worker that delays one calls this
    afterwards. Returns whether a message became due. The caller wakes the workers.
    """
    released = await db.execute(_RELEASE_IF_RESUMED, {"name": name, "seconds": seconds})
    return released.first() is not None


async def release_deletes(db: AsyncConnection, name: str) -> None:
    """Release the deletes that wait at this moment from the guard, and no later ones."""
    await db.execute(_RELEASE_DELETES, {"name": name})


async def close_guard(db: AsyncConnection, name: str) -> bool:
    """End the release of deletes from the guard; return False without a release."""
    return await db.scalar(_CLOSE_GUARD, {"name": name}) is not None


async def history(
    db: AsyncConnection, names: Collection[str], since: datetime, most: int
) -> tuple[ConnectionChange, ...]:
    """Return the latest pauses and resumptions of connections since a time, oldest first."""
    values = {"names": list(names), "since": since, "most": most}
    rows = (await db.execute(_HISTORY, values)).all()
    return tuple(ConnectionChange(*row) for row in reversed(rows))


async def recent_deletes(db: AsyncConnection, name: str, window_seconds: float) -> int:
    """Return the number of recent deletes of a connection, without released ones."""
    values = {"name": name, "window": window_seconds}
    return int(await db.scalar(_DELETES, values) or 0)


async def lock_deletes(db: AsyncConnection, name: str) -> None:
    """Lock the deletes of a connection until the transaction ends."""
    await db.execute(_ONE_AT_A_TIME, {"name": name})


async def count_released(db: AsyncConnection, event_ids: Collection[str]) -> int:
    """Return how many of these sync events were held when an operator released the deletes."""
    return int(await db.scalar(_COUNT_RELEASED, {"ids": list(event_ids)}) or 0)


async def hold(db: AsyncConnection, name: str, seconds: float) -> None:
    """Stop all calls of a connection, in every process, for `seconds` or until its resumption."""
    await db.execute(_HOLD, {"name": name, "seconds": seconds})


async def note_error(db: AsyncConnection, name: str, kind: str, message: str) -> None:
    """Store the last error of a connection."""
    await db.execute(_ERROR, {"name": name, "error_kind": kind, "error_message": message})


async def note_clock(db: AsyncConnection, name: str, offset: Interval) -> None:
    """Store the number of microseconds that an external clock is ahead of this system's."""
    values = {"name": name, "low": offset.low, "high": offset.high}
    await db.execute(_NOTE_CLOCK, values)


async def clocks(db: AsyncConnection) -> dict[str, Interval]:
    """Return the last measured offsets of external clocks in microseconds, by connection."""
    rows = await db.execute(_CLOCKS)
    return {name: Interval(low, high) for name, low, high in rows}
