"""Read what comes off the bus; what cannot be read is kept and named, never dropped."""

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db import sync_events
from zenskar.db.engine import in_transaction
from zenskar.db.sync_events import NewSyncEvent, Transition
from zenskar.errors import InvalidInput, SchemaViolation
from zenskar.ids import new_id
from zenskar.model.envelope import SCHEMA_VERSION, Envelope
from zenskar.model.sync_event import Direction, SyncStatus
from zenskar.schema_catalog import Schema

_KEY_LENGTH = 200


class UnreadableMessage(InvalidInput):
    """A message that is no envelope, or of a layout that is newer than this program."""


def read_envelope(value: bytes, schema: Schema) -> Envelope:
    """Return the envelope of a message; `UnreadableMessage` says what is wrong with it."""
    try:
        body = orjson.loads(value)
        schema.check(body)
    except (orjson.JSONDecodeError, RecursionError):
        raise UnreadableMessage("the message is not JSON") from None
    except SchemaViolation as error:
        raise UnreadableMessage(str(error)) from None
    if body["data"]["schema_version"] > SCHEMA_VERSION:
        raise UnreadableMessage(
            f"the message has layout {body['data']['schema_version']}, "
            f"this program reads up to {SCHEMA_VERSION}"
        )
    return Envelope.from_json(body)


async def bury(
    engine: AsyncEngine, key: str, value: bytes, problem: str, direction: Direction
) -> None:
    """Keep an unreadable message as a dead sync event, so that a person can look at it."""
    event = NewSyncEvent(
        id=new_id(),
        direction=direction,
        source_system=key.partition(":")[0][:_KEY_LENGTH] or "unknown",
        event_type="unreadable",
        correlation_id=new_id(),
        payload=value.decode("utf-8", "backslashreplace").replace("\x00", "\\x00"),
    )
    dead = Transition(
        event.id, SyncStatus.DEAD, reason="unreadable", error_kind="rejected", error_message=problem
    )

    async def work(connection: AsyncConnection) -> None:
        await sync_events.insert(connection, [event])
        await sync_events.move(connection, [dead])

    await in_transaction(engine, work)
