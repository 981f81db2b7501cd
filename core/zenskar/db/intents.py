"""Push intents: the ledger of what was sent, or was about to be."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson
from asyncpg import Record
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.driver.packing import Texts, document, listed, packed, unpacked
from zenskar.db.driver.statements import statement
from zenskar.model.record import Intent, IntentKind, IntentState


@dataclass(frozen=True, slots=True)
class NewIntent:
    """An intent to store before it is sent. The lease says how long its worker may hold it."""

    intent: Intent
    source_system: str
    entity_type: str
    entity_id: str
    external_id: str | None
    sync_event_id: str
    lease_seconds: float


_OPEN = statement(f"""
    SELECT id, CAST(entity_id AS text) AS entity_id, kind, changes, body, revision,
           CASE WHEN state = 'sent' AND lease_until < now() THEN 'unknown' ELSE state END AS state,
           state = 'sent' AND lease_until < now() AS lapsed,
           NOT key_spent AND created_at > now() - make_interval(secs => :key_seconds) AS key_alive,
           created_at > now() - make_interval(secs => :request_seconds) AS may_arrive
    FROM push_intents
    WHERE source_system = :source AND entity_type = :entity_type
      AND ((entity_id = ANY({listed("entity_ids", "uuid")}) AND state IN ('sent', 'unknown'))
           OR id = ANY({listed("origins")}))
    ORDER BY created_at, id
""")  # noqa: S608 - no value is put into the text


@dataclass(frozen=True, slots=True)
class OpenIntents:
    """Pushes by record; `lapsed` are those whose worker let the lease run out."""

    by_record: dict[str, tuple[Intent, ...]]
    lapsed: frozenset[str]


@dataclass(frozen=True, slots=True)
class LostPush:
    """A push without an answer that somebody has to look after, and what it was made for."""

    id: str
    entity_type: str
    record_id: str
    sync_event_id: str
    correlation_id: str | None


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long an external system remembers a key, and a request may be on its way to it."""

    key_seconds: float
    request_seconds: float


_TEXTS = (
    "id",
    "source_system",
    "entity_type",
    "entity_id",
    "external_id",
    "sync_event_id",
    "kind",
    "revision",
    "lease",
)
_DOCUMENTS = ("changes", "body")
# The repeated condition on the state is that of a partial index.
_LAPSED = statement("""
    SELECT i.id, i.entity_type, CAST(i.entity_id AS text), CAST(i.sync_event_id AS text),
           e.correlation_id
    FROM push_intents AS i LEFT JOIN sync_events AS e ON e.id = i.sync_event_id
    WHERE i.state IN ('sent', 'unknown') AND i.state = 'sent' AND i.lease_until < now()
      AND i.source_system = :source
    ORDER BY i.lease_until LIMIT :most
""")

_TOO_OLD = """i.state IN ('sent', 'unknown') AND i.state = 'unknown' AND i.source_system = :source
      AND i.created_at < now() - make_interval(secs => :request_seconds)"""
_LIVE = """SELECT FROM external_mappings AS m
        WHERE m.entity_id = i.entity_id AND m.source_system = i.source_system
          AND m.entity_type = i.entity_type AND m.state = 'active'"""
_GIVEN_UP = """SELECT FROM sync_events AS e
        WHERE e.id = i.sync_event_id AND e.status IN ('dead', 'ignored')"""

_UNSEEN = statement(f"""
    SELECT i.id, i.entity_type, CAST(i.entity_id AS text), CAST(i.sync_event_id AS text),
           e.correlation_id
    FROM push_intents AS i LEFT JOIN sync_events AS e ON e.id = i.sync_event_id
    WHERE {_TOO_OLD} AND NOT EXISTS ({_GIVEN_UP})
      AND EXISTS ({_LIVE} AND m.fetch_revision IS NULL)
    ORDER BY i.created_at LIMIT :most
""")  # noqa: S608 - no value is put into the text

# A create is remembered until its object is known: forgotten, it would be repeated blindly. An
# object that was let go of is that of a create which was sent before.
_END_OLD = statement(f"""
    UPDATE push_intents SET state = 'ended', lease_until = NULL, resolved_at = now()
    WHERE id = ANY(ARRAY(
        SELECT i.id FROM push_intents AS i
        WHERE {_TOO_OLD}
          AND CASE WHEN EXISTS ({_LIVE}) THEN EXISTS ({_GIVEN_UP})
              ELSE i.kind <> 'create' OR EXISTS (
                  SELECT FROM external_mappings AS m
                  WHERE m.entity_id = i.entity_id AND m.source_system = i.source_system
                    AND m.entity_type = i.entity_type
                    AND NOT (m.detached AND i.revision >= m.revision))
              END
        ORDER BY i.created_at LIMIT :most FOR UPDATE SKIP LOCKED))
    RETURNING id
""")  # noqa: S608 - no value is put into the text

_INSERT = statement(f"""
    INSERT INTO push_intents (id, source_system, entity_type, entity_id, external_id,
        sync_event_id, kind, changes, body, revision, state, lease_until)
    SELECT t.id, t.source_system, t.entity_type, CAST(t.entity_id AS uuid), t.external_id,
        CAST(t.sync_event_id AS uuid), t.kind, t.changes, t.body, CAST(t.revision AS integer),
        'sent', now() + make_interval(secs => CAST(t.lease AS double precision))
    FROM {unpacked(*_TEXTS, documents=_DOCUMENTS)} AS t({", ".join(_TEXTS + _DOCUMENTS)})
""")  # noqa: S608 - no value is put into the text

_TAKE = statement("""
    UPDATE push_intents SET state = 'sent', lease_until = now() + make_interval(secs => :lease)
    WHERE id = ANY(CAST(:ids AS text[])) AND (state = 'unknown' OR lease_until < now())
""")

_SPEND_KEY = statement("UPDATE push_intents SET key_spent = true WHERE id = :id")

# A push that was answered stays so: it may have been sent twice, and only once got no answer.
_SET = statement("""
    UPDATE push_intents
    SET state = :state, lease_until = NULL,
        resolved_at = CASE WHEN :state IN ('answered', 'failed', 'ended') THEN now() END
    WHERE id = ANY(CAST(:ids AS text[])) AND state <> 'answered'
""")


async def open_intents(
    db: AsyncConnection,
    source: str,
    entity_type: str,
    entity_ids: Iterable[str],
    *,
    origins: Iterable[str] = (),
    lifetimes: Lifetimes,
) -> OpenIntents:
    """Return the pushes without an answer, and those that `origins` name."""
    rows = await _OPEN.rows(
        db,
        source=source,
        entity_type=entity_type,
        key_seconds=lifetimes.key_seconds,
        request_seconds=lifetimes.request_seconds,
        **packed({"entity_ids": sorted(set(entity_ids)), "origins": sorted(set(origins))}),
    )
    found: dict[str, tuple[Intent, ...]] = {}
    for row in rows:
        found[row["entity_id"]] = (*found.get(row["entity_id"], ()), _intent(row))
    return OpenIntents(found, frozenset(row["id"] for row in rows if row["lapsed"]))


async def lapsed(db: AsyncConnection, source: str, *, most: int) -> list[LostPush]:
    """Return pushes that were left by their workers, those that were left first."""
    rows = await _LAPSED.rows(db, source=source, most=most)
    return [LostPush(*row) for row in rows]


async def unseen(
    db: AsyncConnection, source: str, request_seconds: float, *, most: int
) -> list[LostPush]:
    """Return pushes too old to arrive, to objects that nobody has looked at since."""
    rows = await _UNSEEN.rows(db, source=source, request_seconds=request_seconds, most=most)
    return [LostPush(*row) for row in rows]


async def end_old(db: AsyncConnection, source: str, request_seconds: float, *, most: int) -> int:
    """End pushes too old to arrive that need no look, and return how many.

    Their object is gone, or they were given up, so that a look comes before what is done next.
    """
    rows = await _END_OLD.rows(db, source=source, request_seconds=request_seconds, most=most)
    return len(rows)


async def insert(db: AsyncConnection, intents: Sequence[NewIntent]) -> None:
    """Store intents, sent from now on."""
    if not intents:
        return
    texts: Texts = {
        "id": [new.intent.id for new in intents],
        "source_system": [new.source_system for new in intents],
        "entity_type": [new.entity_type for new in intents],
        "entity_id": [new.entity_id for new in intents],
        "external_id": [new.external_id for new in intents],
        "sync_event_id": [new.sync_event_id for new in intents],
        "kind": [new.intent.kind for new in intents],
        "revision": [str(new.intent.revision) for new in intents],
        "lease": [str(new.lease_seconds) for new in intents],
    }
    changes = [document(new.intent.changes) for new in intents]
    bodies = [document(new.intent.body) for new in intents]
    await _INSERT.run(db, **packed(texts, {"changes": changes, "body": bodies}))


async def take(db: AsyncConnection, intent_ids: Sequence[str], lease_seconds: float) -> None:
    """Hold intents without an answer, to resolve them."""
    if intent_ids:
        await _TAKE.run(db, ids=list(intent_ids), lease=lease_seconds)


async def spend_key(db: AsyncConnection, intent_id: str) -> None:
    """Never repeat this push: its key brings the same failure for ever, so look it up."""
    await _SPEND_KEY.run(db, id=intent_id)


async def set_state(db: AsyncConnection, intent_ids: Iterable[str], state: IntentState) -> None:
    """Write what became of intents."""
    ids = list(intent_ids)
    if ids:
        await _SET.run(db, ids=ids, state=state.value)


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
