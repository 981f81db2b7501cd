"""Erase a customer: delete the record if it still lives, then remove everything but its id."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db import customers, personal_data
from zenskar.db.driver.engine import in_transaction
from zenskar.db.personal_data import LinkedObject
from zenskar.errors import NotFound, StateConflict
from zenskar.ids import new_id
from zenskar.model.actor import Actor
from zenskar.model.envelope import OUTBOUND
from zenskar.model.fields import CUSTOMER
from zenskar.model.operator_action import ActionKind
from zenskar.ops.audit import AuditEntry
from zenskar.plugins.broadcasts import Broadcaster
from zenskar.sync import fanout
from zenskar.sync.fanout import RecordChange
from zenskar.telemetry.logs import get_logger

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Erased:
    """The result of an erasure or of a dry run: rows by table, and the external objects."""

    id: str
    erased_at: datetime | None
    rows: Mapping[str, int]
    external: Sequence[LinkedObject]


class _DryRun(Exception):
    """Rolls the transaction back and carries its result."""

    def __init__(self, found: Erased) -> None:
        self.found = found


class Eraser:
    """Erases customers. `owners` are the connections that receive the delete."""

    def __init__(
        self,
        engine: AsyncEngine,
        owners: Sequence[str],
        wake: Callable[[str], None],
        broadcaster: Broadcaster | None = None,
    ) -> None:
        self._engine = engine
        self._owners = owners
        self._wake = wake
        self._broadcaster = broadcaster or Broadcaster()

    async def erase(self, customer_id: str, by: Actor, *, dry_run: bool = False) -> Erased:
        """Erase one customer; a repeat erases data that arrived since.

        Raises `NotFound`, and `StateConflict` while a push of the customer is in progress.
        """

        async def erase(db: AsyncConnection) -> Erased:
            found = await self._erase(db, customer_id, by)
            if dry_run:
                raise _DryRun(found)
            return found

        try:
            done = await in_transaction(self._engine, erase)
        except _DryRun as stopped:
            return stopped.found
        self._wake(OUTBOUND)
        _log.info("customer_erased", id=customer_id, by=str(by))
        return done

    async def erase_late(self, _state: Any = None) -> None:
        """Erase data that waiting messages brought back for erased customers."""
        for customer_id in await in_transaction(self._engine, personal_data.late):

            async def erase(db: AsyncConnection, name: str = customer_id) -> None:
                await customers.read(db, name, lock=True)
                await personal_data.erase(db, name)

            await in_transaction(self._engine, erase)

    async def erase_purged(self, _state: Any = None) -> None:
        """Erase the customers whose erasure an external system demands.

        A customer with a push in progress is erased by a later run.
        """
        for customer_id, source in await in_transaction(self._engine, personal_data.requested):
            try:
                await self.erase(customer_id, Actor("a purge", source))
            except StateConflict as error:
                _log.info("erasure_waits", id=customer_id, reason=str(error))

    async def _erase(self, db: AsyncConnection, customer_id: str, by: Actor) -> Erased:
        present = await customers.read(db, customer_id, lock=True)
        if present is None:
            raise NotFound("there is no customer with this id, and there was none")
        if await personal_data.under_way(db, customer_id):
            raise StateConflict("a push of this customer is under way: erase it again in a minute")
        external = await personal_data.objects(db, customer_id)
        if present.deleted_at is None:
            await self._delete(db, present, by, external)
        rows = await personal_data.erase(db, customer_id)
        await AuditEntry(ActionKind.ERASE, by, customer_id, result={"rows": dict(rows)}).write(db)
        return Erased(customer_id, await personal_data.erased_at(db, customer_id), rows, external)

    async def _delete(
        self,
        db: AsyncConnection,
        present: customers.Customer,
        by: Actor,
        external: Sequence[LinkedObject],
    ) -> None:
        deleted = await customers.delete(db, present.id, version=present.version)
        change = RecordChange(
            entity_type=CUSTOMER.entity_type,
            record_id=present.id,
            version=deleted.version if deleted else present.version,
            action=fanout.DELETED,
            document=None,
            correlation_id=new_id(),
            by=by.detail,
        )
        sources = dict.fromkeys((*self._owners, *(each["source_system"] for each in external)))
        await fanout.enqueue(db, [(change, source) for source in sources])
        fanout.announce_change(self._broadcaster, change)
