"""The outbox: messages written in the transaction of the change that they tell of.

The same table is the spool, the list of delayed retries and, without Kafka, the queue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.driver.packing import Texts, document, listed, packed, unpacked
from zenskar.db.driver.statements import statement
from zenskar.model.envelope import Envelope


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A new message, due at once. `text` is how it travels, if that was made already."""

    topic: str
    key: str
    source_system: str
    envelope: Envelope
    text: bytes | None = None

    def encode(self) -> bytes:
        """Return the message as it travels."""
        return self.text or document(self.envelope.to_json())


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message as it waits, whatever it holds. `delay` is in seconds.

    `attempts` were made before; one that is `parked` is due earlier when its connection works.
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
    """A message that this claimer alone may work on until its claim runs out."""

    id: int
    topic: str
    key: str
    envelope: bytes
    attempts: int
    headers: Mapping[str, str]


INSERT = statement(f"""
    INSERT INTO outbox (topic, key, source_system, envelope)
    SELECT t.topic, t.key, t.source_system, t.envelope
    FROM {unpacked("topics", "keys", "sources", documents=["envelopes"])}
         WITH ORDINALITY AS t(topic, key, source_system, envelope, ordinal)
    ORDER BY t.ordinal
""")  # noqa: S608 - no value is put into the text

_INSERT_ROWS = statement("""
    INSERT INTO outbox (topic, key, source_system, envelope, attempts, parked, headers,
        available_at)
    SELECT t.topic, t.key, t.source_system, t.envelope, t.attempts, t.parked, t.headers,
        now() + make_interval(secs => t.delay)
    FROM unnest(CAST(:topics AS text[]), CAST(:keys AS text[]), CAST(:sources AS text[]),
                CAST(:envelopes AS text[]), CAST(:attempts AS integer[]),
                CAST(:parked AS boolean[]), CAST(:headers AS text[]),
                CAST(:delays AS double precision[]))
         WITH ORDINALITY AS t(topic, key, source_system, envelope, attempts, parked, headers,
                              delay, ordinal)
    ORDER BY t.ordinal
""")

# By their place: PostgreSQL would compare each claimed id with each row of the queue, if that was
# empty when it was analyzed. Who is locked stays where it is.
_CLAIM = statement("""
    WITH due AS (
        SELECT o.ctid AS place FROM outbox AS o
        WHERE topic = :topic AND available_at <= now()
          AND (claimed_until IS NULL OR claimed_until < now())
          AND NOT (:by_key AND EXISTS (
              SELECT 1 FROM outbox AS other
              WHERE other.topic = o.topic AND other.key = o.key AND other.id <> o.id
                AND (other.claimed_until >= now()
                     OR (other.id < o.id AND other.available_at <= now()))))
        ORDER BY available_at, id
        LIMIT :most
        FOR UPDATE SKIP LOCKED
    ), quick AS MATERIALIZED (
        -- A claim that a crash of the database forgets is made again.
        SELECT set_config('synchronous_commit', 'off', true)
    )
    UPDATE outbox SET claimed_until = now() + make_interval(secs => :lease),
                      claimed_by = :claimer, attempts = attempts + 1, parked = false
    FROM due, quick WHERE outbox.ctid = due.place
    RETURNING outbox.id, topic, key, convert_to(envelope, 'UTF8'), attempts, headers
""")

_DONE = statement(f"""
    DELETE FROM outbox WHERE id = ANY({listed("ids", "bigint")}) AND claimed_by = :claimer
""")  # noqa: S608 - no value is put into the text

_DEFER = statement("""
    UPDATE outbox
    SET claimed_until = NULL, claimed_by = NULL, attempts = attempts - :uncounted,
        parked = :parked,
        available_at = now() + make_interval(secs => :delay)
    WHERE id = ANY(CAST(:ids AS bigint[])) AND claimed_by = :claimer
""")

_EXTEND = statement("""
    UPDATE outbox SET claimed_until = now() + make_interval(secs => :lease)
    WHERE id = ANY(CAST(:ids AS bigint[])) AND claimed_by = :claimer
""")

_NEXT_DUE = statement("""
    SELECT extract(epoch FROM min(greatest(available_at, coalesce(claimed_until, available_at)))
                   - now())
    FROM outbox WHERE topic = ANY(CAST(:topics AS text[]))
""")

_UNPARK = statement("""
    UPDATE outbox SET parked = false, available_at = now()
    WHERE parked AND claimed_until IS NULL AND source_system = ANY(CAST(:sources AS text[]))
      AND NOT EXISTS (SELECT FROM connections AS c
                      WHERE c.name = outbox.source_system AND c.state = 'paused')
    RETURNING topic
""")

_DEPTH = statement("SELECT topic, count(*) AS depth FROM outbox GROUP BY topic")


async def insert(db: AsyncConnection, messages: Sequence[OutboxMessage]) -> None:
    """Write messages, in this order."""
    if messages:
        await INSERT.run(db, **columns(messages))


def columns(messages: Sequence[OutboxMessage]) -> dict[str, str | bytes]:
    """Return the parameters of `INSERT` for messages, which are written in this order."""
    texts: Texts = {
        "topics": [message.topic for message in messages],
        "keys": [message.key for message in messages],
        "sources": [message.source_system for message in messages],
    }
    return packed(texts, {"envelopes": [message.encode() for message in messages]})


async def insert_rows(db: AsyncConnection, rows: Sequence[OutboxRow]) -> None:
    """Write messages that may be no envelopes, or were tried before, in this order."""
    if not rows:
        return
    await _INSERT_ROWS.run(
        db,
        topics=[row.topic for row in rows],
        keys=[row.key for row in rows],
        sources=[row.source_system for row in rows],
        envelopes=[row.text for row in rows],
        attempts=[row.attempts for row in rows],
        parked=[row.parked for row in rows],
        headers=[_dump(row.headers) for row in rows],
        delays=[row.delay for row in rows],
    )


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
    """Claim due messages. With `by_key`, one of each key, and none that somebody works on."""
    rows = await _CLAIM.rows(
        db,
        topic=topic,
        claimer=claimer,
        most=most,
        lease=lease_seconds,
        by_key=by_key,
    )
    claimed = [
        ClaimedMessage(
            number, topic, key, value, attempts, orjson.loads(headers) if headers else {}
        )
        for number, topic, key, value, attempts, headers in rows
    ]
    return sorted(claimed, key=lambda message: message.id)


async def ack(db: AsyncConnection, ids: Sequence[int], *, claimer: str) -> None:
    """Remove messages whose work is done."""
    await _DONE.run(db, **packed({"ids": [str(i) for i in ids]}), claimer=claimer)


async def nack(
    db: AsyncConnection,
    ids: Sequence[int],
    *,
    claimer: str,
    delay_seconds: float,
    attempted: bool = True,
    parked: bool = False,
) -> None:
    """Give messages back, to be taken again after a while.

    One not `attempted` counts for nothing; one that is `parked` is due earlier when its
    connection works again.
    """
    await _DEFER.run(
        db,
        ids=list(ids),
        claimer=claimer,
        delay=delay_seconds,
        uncounted=int(not attempted),
        parked=parked,
    )


async def extend(
    db: AsyncConnection, ids: Sequence[int], *, claimer: str, lease_seconds: float
) -> None:
    """Hold on to messages whose work takes longer than the claim."""
    await _EXTEND.run(db, ids=list(ids), claimer=claimer, lease=lease_seconds)


async def seconds_to_next(db: AsyncConnection, topics: Sequence[str]) -> float | None:
    """Return how long until a message is due, None when there is none."""
    seconds = await _NEXT_DUE.value(db, topics=list(topics))
    return None if seconds is None else max(0.0, float(seconds))


async def unpark(db: AsyncConnection, sources: Sequence[str]) -> set[str]:
    """Make due what was parked for connections that work; return the topics to wake."""
    rows = await _UNPARK.rows(db, sources=list(sources))
    return {row["topic"] for row in rows}


async def depth(db: AsyncConnection) -> dict[str, int]:
    """Return how many messages wait on each topic."""
    rows = await _DEPTH.rows(db)
    return {row["topic"]: row["depth"] for row in rows}
