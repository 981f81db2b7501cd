"""Find deletes that a database restored from a backup does not contain."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from functools import partial

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db import records
from zenskar.db.driver.engine import in_transaction
from zenskar.ids import is_id
from zenskar.model.fields import SHAPES
from zenskar.model.record import Record
from zenskar.sync.fanout import DELETED


@dataclass(frozen=True, slots=True)
class LostDelete:
    """A record that was deleted after the backup and lives again since the restore."""

    entity_type: str
    record_id: str
    deleted_at: str


async def lost_deletes(
    engine: AsyncEngine, messages: AsyncIterator[Iterable[bytes]]
) -> list[LostDelete]:
    """Return the deletes of outbound messages whose records live, oldest first.

    A delete names the version that it made. A record that was undeleted since has a higher version.
    """
    found: dict[tuple[str, str], tuple[LostDelete, int]] = {}
    async for batch in messages:
        for delete, version in filter(None, map(_delete, batch)):
            found[delete.entity_type, delete.record_id] = delete, version
    lost: list[LostDelete] = []
    for entity_type in sorted({entity_type for entity_type, _ in found}):
        deletes = {d.record_id: (d, v) for d, v in found.values() if d.entity_type == entity_type}
        known = await in_transaction(engine, partial(_read, entity_type, deletes))
        lost += [
            deletes[record_id][0]
            for record_id, record in known.items()
            if not record.deleted and record.version < deletes[record_id][1]
        ]
    return sorted(lost, key=lambda delete: delete.deleted_at)


async def _read(entity_type: str, ids: Iterable[str], db: AsyncConnection) -> dict[str, Record]:
    return await records.lock(db, entity_type, ids)


def _delete(value: bytes) -> tuple[LostDelete, int] | None:
    """Return the delete of a message with its version, None for any other message."""
    try:
        body = orjson.loads(value)
        data = body["data"]
        entity_type, record_id = data["entity_type"], data["entity_id"]
        if body["type"] != f"{entity_type}.{DELETED}" or entity_type not in SHAPES:
            return None
        if not is_id(record_id):
            return None
        return LostDelete(entity_type, record_id, str(body["time"])), int(data["record_version"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
