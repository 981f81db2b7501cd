"""Add members of broadcast plugins to a push, before it is sent for the first time."""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import intents
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import NewEntry
from zenskar.kernel import StepKind
from zenskar.model.fields import SHAPES, merge_patch
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.sync_event import SyncStatus
from zenskar.sync.context import SyncContext
from zenskar.sync.outbound.calls import Call

_SECONDS = 2.0
_PART_OF_LEASE = 0.1
_FIRST = frozenset({StepKind.CREATE, StepKind.UPDATE})
"""The steps that send a new push. A push that was stored before is sent as it is."""


class PushEnrichment:
    """Asks the plugins about a stored push, outside of every transaction.

    The body with the additions replaces the stored body before the push is sent. A worker that dies
    before that leaves a push without additions, which another worker sends.
    """

    def __init__(self, context: SyncContext) -> None:
        self._context = context

    async def enrich(self, call: Call, event_id: str) -> Call:
        """Return the call with the additions of the plugins, once they are stored.

        The history of the sync event then names the added members, without values.
        Raises `Unavailable` when the database is unavailable.
        """
        broadcaster, intent = self._context.broadcaster, call.intent
        if not broadcaster.enriches or call.step not in _FIRST or intent is None:
            return call
        source, entity_type = call.source, call.entity_type
        lease = self._context.connections[source].settings.intent_lease_seconds
        body, added = await broadcaster.enriched(
            intent.body,
            seconds=min(_SECONDS, lease * _PART_OF_LEASE),
            entity_type=entity_type,
            record_id=call.record_id,
            source=source,
            kind=intent.kind.value,
            patch=merge_patch(SHAPES[entity_type], intent.changes),
        )
        if not added:
            return call
        enriched = replace(intent, body=body)
        detail: HistoryDetail = {
            "added": [{"plugin": name, "members": members} for name, members in added.items()]
        }

        async def store(db: AsyncConnection) -> bool:
            replaced = await intents.replace_body(db, enriched, lease)
            if replaced:
                await sync_events.note(db, [NewEntry(event_id, SyncStatus.PROCESSING, detail)])
            return replaced

        stored = await in_transaction(self._context.engine, store)
        await self._context.failpoint("outbound.enriched")
        return replace(call, intent=enriched) if stored else call
