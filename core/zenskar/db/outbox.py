"""The outbox: messages written in the transaction of their change.

The table is also the spool, the list of delayed retries and, without Kafka, the queue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.driver.engine import driver
from zenskar.db.driver.json_bytes import json_bytes
from zenskar.model.envelope import DEAD_LETTER, INBOUND, OUTBOUND, Envelope


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A new message, due now. `text` is its encoded form, if it exists already."""

    topic: str
    key: str
    source_system: str
    envelope: Envelope
    text: bytes | None = None

    def encode(self) -> bytes:
        """Return the encoded message."""
        return self.text or json_bytes(self.envelope.to_json())


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A row of the outbox with any content. `delay` is in seconds.

    `attempts` counts earlier attempts; a `parked` message is due earlier when its connection works.
    """

    topic: str
    key: str
    source_system: str
    text: str
    delay: float = 0.0
    attempts: int = 0
    parked: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClaimedMessage:
    """A message that belongs to its claimer until the claim expires."""

    id: int
    topic: str
    key: str
    envelope: bytes
    attempts: int
    headers: Mapping[str, str]


_INSERT = """
    INSERT INTO outbox (topic, key, source_system, envelope)
    SELECT t.topic, t.key, t.source_system, t.envelope
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
         WITH ORDINALITY AS t(topic, key, source_system, envelope, ordinal)
    ORDER BY t.ordinal
"""

_INSERT_ROWS = """
    INSERT INTO outbox (topic, key, source_system, envelope, attempts, parked, headers,
        available_at)
    SELECT t.topic, t.key, t.source_system, t.envelope, t.attempts, t.parked, t.headers,
        now() + make_interval(secs => t.delay)
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::boolean[],
                $7::text[], $8::double precision[])
         WITH ORDINALITY AS t(topic, key, source_system, envelope, attempts, parked, headers,
                              delay, ordinal)
    ORDER BY t.ordinal
"""

# By ctid: PostgreSQL would compare each claimed id with each row of the queue, if the queue was
# empty when it was analyzed. A locked row keeps its ctid.
_CLAIM = """
    WITH due AS (
        SELECT o.ctid AS place FROM outbox AS o
        WHERE topic = $1 AND available_at <= now()
          AND (claimed_until IS NULL OR claimed_until < now())
          AND NOT ($5 AND EXISTS (
              SELECT 1 FROM outbox AS other
              WHERE other.topic = o.topic AND other.key = o.key AND other.id <> o.id
                AND (other.claimed_until >= now()
                     OR (other.id < o.id AND other.available_at <= now()))))
        ORDER BY available_at, id
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    ), quick AS MATERIALIZED (
        -- After a crash of the database, a lost claim is made again.
        SELECT set_config('synchronous_commit', 'off', true)
    )
    UPDATE outbox SET claimed_until = now() + make_interval(secs => $4),
                      claimed_by = $2, attempts = attempts + 1, parked = false
    FROM due, quick WHERE outbox.ctid = due.place
    RETURNING outbox.id, topic, key, convert_to(envelope, 'UTF8'), attempts, headers
"""

_DONE = "DELETE FROM outbox WHERE id = ANY($1::bigint[]) AND claimed_by = $2"

_DEFER = """
    UPDATE outbox
    SET claimed_until = NULL, claimed_by = NULL, attempts = attempts - $4, parked = $5,
        available_at = now() + make_interval(secs => $3)
    WHERE id = ANY($1::bigint[]) AND claimed_by = $2
"""

_EXTEND = """
    UPDATE outbox SET claimed_until = now() + make_interval(secs => $3)
    WHERE id = ANY($1::bigint[]) AND claimed_by = $2
"""

# Two searches in the index on the due time: a claimed message was due, and of the others only the
# first counts. So the parked messages of a paused connection are not read.
_NEXT_DUE = """
    SELECT extract(epoch FROM least(
        (SELECT available_at FROM outbox WHERE topic = $1 AND claimed_until IS NULL
         ORDER BY available_at LIMIT 1),
        (SELECT min(claimed_until) FROM outbox WHERE topic = $1 AND available_at <= now())
    ) - now())
"""

_UNPARK = text("""
    UPDATE outbox SET parked = false, available_at = now()
    WHERE parked AND claimed_until IS NULL AND source_system = ANY(CAST(:sources AS text[]))
      AND NOT EXISTS (SELECT FROM connections AS c
                      WHERE c.name = outbox.source_system AND c.state = 'paused')
    RETURNING topic
""")

_DEPTH = text("SELECT topic, count(*) AS depth FROM outbox GROUP BY topic")
_TOPICS = text("""
    SELECT name AS topic, state, count(*) AS count,
           CAST(coalesce(extract(epoch FROM now() - min(due_at)), 0) AS double precision)
           AS oldest_seconds
    FROM unnest(CAST(:topics AS text[])) AS topic(name)
    CROSS JOIN LATERAL (
        SELECT greatest(created_at, available_at) AS due_at,
               CASE WHEN claimed_until > now() THEN 'claimed' WHEN parked THEN 'parked'
                    WHEN available_at > now() THEN 'delayed' ELSE 'due' END AS state
        FROM outbox WHERE outbox.topic = topic.name ORDER BY available_at LIMIT :most
    ) AS message GROUP BY name, state
""")
_NAMES = [INBOUND, OUTBOUND, DEAD_LETTER]


@dataclass(frozen=True, slots=True)
class TopicDepth:
    """The messages of a topic in one state: due, delayed, parked or claimed.

    `oldest_seconds` is for how long the oldest one is due; negative for a delayed one.
    """

    topic: str
    state: str
    count: int
    oldest_seconds: float


async def insert(db: AsyncConnection, messages: Sequence[OutboxMessage]) -> None:
    """Insert messages, in this order."""
    if messages:
        rows = [(m.topic, m.key, m.source_system, m.encode().decode()) for m in messages]
        await driver(db).execute(_INSERT, *zip(*rows, strict=True))


async def insert_rows(db: AsyncConnection, rows: Sequence[OutboxRow]) -> None:
    """Insert messages with any content, with delays and attempts, in this order."""
    if not rows:
        return
    values = [
        (r.topic, r.key, r.source_system, r.text, r.attempts, r.parked, _dump(r.headers), r.delay)
        for r in rows
    ]
    await driver(db).execute(_INSERT_ROWS, *zip(*values, strict=True))


def _dump(headers: Mapping[str, str]) -> str | None:
    return orjson.dumps(dict(headers)).decode() if headers else None


async def claim(
    db: AsyncConnection,
    topic: str,
    *,
    claimer: str,
    most: int,
    lease_seconds: float,
    by_key: bool,
) -> list[ClaimedMessage]:
    """Claim due messages. With `by_key`, one of each key, and none of a claimed key."""
    rows = await driver(db).fetch(_CLAIM, topic, claimer, most, lease_seconds, by_key)
    claimed = [
        ClaimedMessage(
            number, topic, key, value, attempts, orjson.loads(headers) if headers else {}
        )
        for number, topic, key, value, attempts, headers in rows
    ]
    return sorted(claimed, key=lambda message: message.id)


async def ack(db: AsyncConnection, ids: Sequence[int], *, claimer: str) -> None:
    """Delete processed messages."""
    await driver(db).execute(_DONE, ids, claimer)


async def nack(
    db: AsyncConnection,
    ids: Sequence[int],
    *,
    claimer: str,
    delay_seconds: float,
    attempted: bool = True,
    parked: bool = False,
) -> None:
    """Release messages, due again after a delay.

    A message not `attempted` counts no attempt; a `parked` message is due earlier when its
    connection works again.
    """
    uncounted = int(not attempted)
    await driver(db).execute(_DEFER, ids, claimer, delay_seconds, uncounted, parked)


async def extend(
    db: AsyncConnection, ids: Sequence[int], *, claimer: str, lease_seconds: float
) -> None:
    """Extend the claim of messages that are still processed."""
    await driver(db).execute(_EXTEND, ids, claimer, lease_seconds)


async def seconds_to_next(db: AsyncConnection, topic: str) -> float | None:
    """Return the seconds until a message of a topic is due, None without a message."""
    seconds = await driver(db).fetchval(_NEXT_DUE, topic)
    return None if seconds is None else max(0.0, float(seconds))


async def unpark(db: AsyncConnection, sources: Sequence[str]) -> set[str]:
    """Make the parked messages of active connections due; return the topics to wake."""
    return set(await db.scalars(_UNPARK, {"sources": list(sources)}))


async def topics(db: AsyncConnection, most: int) -> list[TopicDepth]:
    """Return the waiting messages by topic and state, `most` of each topic."""
    rows = await db.execute(_TOPICS, {"topics": _NAMES, "most": most})
    return [TopicDepth(**row._mapping) for row in rows]  # noqa: SLF001 - public


async def depth(db: AsyncConnection) -> dict[str, int]:
    """Return the number of waiting messages by topic."""
    rows = await db.execute(_DEPTH)
    return {row.topic: row.depth for row in rows}
