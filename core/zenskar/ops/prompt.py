"""Request work that would happen later: a check, a poll, a fetch, a push. Workers do it."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import mappings, polls, records, schedules
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import CallFailed, NotFound, StateConflict
from zenskar.ids import new_id
from zenskar.model.actor import Actor
from zenskar.model.envelope import OUTBOUND
from zenskar.model.integration import Health
from zenskar.model.operator_action import ActionKind
from zenskar.ops.audit import AuditEntry
from zenskar.sync import fanout
from zenskar.sync.context import SyncContext
from zenskar.sync.fanout import LookRequest, RecordChange


class Prompter:
    """Requests work on a connection or a record, with an entry in the audit."""

    def __init__(self, context: SyncContext, *, timeout_seconds: float) -> None:
        self._context = context
        self._timeout_seconds = timeout_seconds

    def polls(self, source: str) -> bool:
        """Return whether a connection has a feed. Raises `NotFound` for an unknown connection."""
        return self._context.router.implements(source, "changes")

    async def check(self, source: str, by: Actor) -> Health:
        """Call the health check of a connection, and return its answer.

        A failed call is an answer too. Raises `NotFound` for an unknown connection.
        """
        self._context.router.owner(source)
        try:
            answer = await self._context.invoker.call(
                source, "health", Health, seconds=self._timeout_seconds
            )
            health = answer.value
        except CallFailed as error:
            health = Health(ok=False, detail=str(error))
        entry = AuditEntry(ActionKind.CHECK, by, source, result={"ok": health.ok})
        await in_transaction(self._context.engine, entry.write)
        return health

    async def poll(self, source: str, by: Actor) -> None:
        """Make the next poll of a feed due now.

        Raises `StateConflict` for a connection without a feed, `NotFound` for an unknown one.
        """
        if not self.polls(source):
            raise StateConflict(f"the connection {source} has no feed: its system sends webhooks")

        async def hurry(db: AsyncConnection) -> None:
            await schedules.hurry(db, polls.schedule(source))
            await AuditEntry(ActionKind.POLL, by, source).write(db)

        await in_transaction(self._context.engine, hurry)

    async def fetch(
        self, entity_type: str, record_id: str, source: str | None, by: Actor
    ) -> Sequence[str]:
        """Request a fetch of a record's object at one connection or at all.

        Returns the connections. Raises `NotFound` when the record has no object there.
        """

        async def request(db: AsyncConnection) -> list[str]:
            found = await mappings.of_records(db, entity_type, [record_id])
            links = [
                link for name, link in found.get(record_id, {}).items() if source in {None, name}
            ]
            if not links:
                where = "at any connection" if source is None else f"at {source}"
                raise NotFound(f"the record has no object {where}")
            correlation_id = new_id()
            looks = [
                LookRequest(
                    link.source_system,
                    entity_type,
                    link.external_id,
                    correlation_id,
                    None,
                    by=by.detail,
                )
                for link in links
            ]
            await fanout.enqueue_looks(db, looks)
            sources = [link.source_system for link in links]
            entry = AuditEntry(ActionKind.FETCH, by, record_id, {"connections": sources})
            await entry.write(db)
            return sources

        sources = await in_transaction(self._context.engine, request)
        self._context.wake(OUTBOUND)
        return sources

    async def push(
        self, entity_type: str, record_id: str, source: str | None, by: Actor
    ) -> Sequence[str]:
        """Request a push of a record to one connection or to all that sync its entity type.

        Returns the connections. Raises `NotFound` for an unknown record or connection.
        """
        owners = self._context.router.owners_of(entity_type)
        sources = [name for name in owners if source in {None, name}]
        if not sources:
            raise NotFound(f"no connection {source or ''} syncs the entity type {entity_type}")

        async def request(db: AsyncConnection) -> None:
            record = (await records.lock(db, entity_type, [record_id])).get(record_id)
            if record is None:
                raise NotFound("there is no record with this id")
            change = RecordChange.of(entity_type, record, fanout.RESYNC, new_id(), by=by.detail)
            await fanout.enqueue(db, [(change, name) for name in sources])
            entry = AuditEntry(ActionKind.PUSH, by, record_id, {"connections": sources})
            await entry.write(db)

        await in_transaction(self._context.engine, request)
        self._context.wake(OUTBOUND)
        return sources
