"""Find what a database restored from a backup does not know, and repeat the lost deletes."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.bus.port import Bus
from zenskar.db import api_keys, connections, records
from zenskar.db.api_keys import ApiKey
from zenskar.db.connections import ConnectionState
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import InvalidInput, NotFound, StateConflict
from zenskar.ids import is_id
from zenskar.model.actor import Actor
from zenskar.model.envelope import OUTBOUND
from zenskar.model.fields import SHAPES
from zenskar.model.operator_action import ActionKind
from zenskar.model.record import Record
from zenskar.ops.audit import AuditEntry, recorded
from zenskar.sync.fanout import DELETED, UNDELETED
from zenskar.sync.reconcile.report import OnProgress, ReconcileProgress, silent

REPEATING = "deletes"
"""The phase of a repetition of deletes."""
_BATCH = 1000
Key = tuple[str, str]
"""The entity type and the id of a record."""


class RecordDeleter(Protocol):
    """Deletes a record through the catalog, so that each connection receives the delete."""

    async def __call__(self, record_id: str, /, *, correlation_id: str, by: Actor) -> None:
        """Delete a record. Raises `NotFound`."""


@dataclass(frozen=True, slots=True)
class LostDelete:
    """A record that was deleted after the backup and lives again since the restore."""

    entity_type: str
    record_id: str
    deleted_at: str


Deletes = Mapping[Key, tuple[int, LostDelete]]
"""Deletes by record, each with the version that it made."""


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """The differences of a restored database: lost deletes, old API keys, old pauses.

    `deletes_known` is false on a bus that was restored with the database. `deleted` is the number
    of the lost deletes that were repeated.
    """

    deletes: Sequence[LostDelete]
    deletes_known: bool
    keys: Sequence[ApiKey]
    paused: Sequence[ConnectionState]
    deleted: int = 0

    @property
    def left(self) -> int:
        """The number of lost deletes that were not repeated."""
        return len(self.deletes) - self.deleted


@dataclass(frozen=True, slots=True)
class Recovery:
    """Compares a restored database with the messages on the bus since its backup.

    To read the messages and to delete take at most `step_seconds` each. The audit shows the
    progress of the deletes every `progress_seconds`.
    """

    engine: AsyncEngine
    bus: Bus
    delete: RecordDeleter
    step_seconds: float | None = None
    progress_seconds: float = 1.0

    async def report(self, since: datetime) -> RecoveryReport:
        """Report the differences since the backup; change nothing.

        Raises `InvalidInput` for a later time, `Unavailable` when the bus is unavailable, and
        `StateConflict` when the messages are too many for `step_seconds`.
        """
        if since > datetime.now(UTC):
            raise InvalidInput("the time of the backup has not come yet")
        messages = self.bus.values_since(OUTBOUND, since)
        deletes = [] if messages is None else await self._lost(messages)
        keys = await in_transaction(self.engine, api_keys.read_all)
        states = await in_transaction(self.engine, connections.states)
        return RecoveryReport(
            deletes,
            messages is not None,
            [key for key in keys if key.in_force],
            [state for state in states.values() if state.paused],
        )

    async def repeat_deletes(
        self, since: datetime, by: Actor, correlation_id: str, on_progress: OnProgress = silent
    ) -> RecoveryReport:
        """Report the differences, and repeat the lost deletes; raises as `report` does.

        The next call repeats the deletes that `step_seconds` did not suffice for.
        """
        report = await self.report(since)
        if not report.deletes:
            return report
        total = len(report.deletes)
        request = {"records": total, "since": since.isoformat()}
        entry = AuditEntry(ActionKind.REPEAT_DELETES, by, request=request, result={"deleted": 0})
        began = written = time.monotonic()
        async with recorded(self.engine, entry):
            for done, lost in enumerate(report.deletes, 1):
                with suppress(NotFound):
                    await self.delete(lost.record_id, correlation_id=correlation_id, by=by)
                entry.result["deleted"] = done
                on_progress(ReconcileProgress(REPEATING, done, total))
                now = time.monotonic()
                if now - began > (self.step_seconds or math.inf):
                    break
                if now - written >= self.progress_seconds:
                    await in_transaction(self.engine, entry.write_progress)
                    written = now
        return replace(report, deleted=entry.result["deleted"])

    async def _lost(self, messages: AsyncGenerator[Sequence[bytes], None]) -> list[LostDelete]:
        try:
            async with asyncio.timeout(self.step_seconds), aclosing(messages) as batches:
                deletes = await _read_deletes(batches)
        except TimeoutError:
            raise StateConflict(
                f"{OUTBOUND} was not read to its end within {self.step_seconds:g} seconds: use "
                "`zenskar recover`, which takes its time"
            ) from None
        return await _alive(self.engine, deletes)


@dataclass(frozen=True, slots=True)
class _Deletes:
    """The last delete and the last undelete of each record, by the versions that they made.

    The bus repeats messages in any order.
    """

    deleted: dict[Key, tuple[int, LostDelete]] = field(default_factory=dict)
    undeleted: dict[Key, int] = field(default_factory=dict)

    def add(self, value: bytes) -> None:
        """Note the delete or the undelete of a message."""
        # A search for the bytes is many times faster than to parse each message.
        found = _read_change(value) if DELETED.encode() in value else None
        if found is None:
            return
        action, version, delete = found
        key = delete.entity_type, delete.record_id
        if action == UNDELETED:
            self.undeleted[key] = max(version, self.undeleted.get(key, version))
        elif key not in self.deleted or version >= self.deleted[key][0]:
            self.deleted[key] = version, delete

    def last(self) -> Deletes:
        """Return the deletes that no later undelete has ended."""
        return {
            key: (version, delete)
            for key, (version, delete) in self.deleted.items()
            if version > self.undeleted.get(key, -1)
        }


async def _read_deletes(batches: AsyncGenerator[Sequence[bytes], None]) -> Deletes:
    deletes = _Deletes()
    async for batch in batches:
        for value in batch:
            deletes.add(value)
    return deletes.last()


async def _alive(engine: AsyncEngine, deletes: Deletes) -> list[LostDelete]:
    """Return the deletes whose records live, oldest first.

    A record that was undeleted since the restore has a higher version than its delete.
    """
    lost: list[LostDelete] = []
    for entity_type in sorted({entity_type for entity_type, _ in deletes}):
        ids = sorted(record_id for each, record_id in deletes if each == entity_type)
        for first in range(0, len(ids), _BATCH):
            some = ids[first : first + _BATCH]
            known = await in_transaction(engine, partial(_read_records, entity_type, some))
            for record_id, record in known.items():
                version, delete = deletes[entity_type, record_id]
                if not record.deleted and record.version < version:
                    lost.append(delete)
    return sorted(lost, key=lambda delete: delete.deleted_at)


async def _read_records(
    entity_type: str, ids: Iterable[str], db: AsyncConnection
) -> dict[str, Record]:
    return await records.lock(db, entity_type, ids)


def _read_change(value: bytes) -> tuple[str, int, LostDelete] | None:
    """Return the action of a delete or an undelete, its version, and the record."""
    try:
        body = orjson.loads(value)
        data = body["data"]
        entity_type, record_id = data["entity_type"], data["entity_id"]
        prefix, _, action = body["type"].rpartition(".")
        if action not in {DELETED, UNDELETED} or prefix != entity_type or entity_type not in SHAPES:
            return None
        if not is_id(record_id):
            return None
        version = int(data["record_version"])
        return action, version, LostDelete(entity_type, record_id, str(body["time"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
