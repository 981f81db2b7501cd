"""Reconcile a whole connection in the background after a loss of messages."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import connections, schedules
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import StateConflict, Unavailable
from zenskar.model.fields import SHAPES
from zenskar.sync.context import SyncContext
from zenskar.sync.reconcile.reconciler import Reconciler
from zenskar.telemetry.logs import get_logger

_HOLD_SECONDS, _RENEW_SECONDS = 60.0, 15.0
"""A running job renews its hold. After the last renewal another worker resumes its run."""
_WANTED = {"wanted": True}
_BEGUN = {"wanted": True, "begun": True}
_log = get_logger(__name__)


class ReconcileJob:
    """Runs a requested reconcile with repair."""

    def __init__(
        self,
        context: SyncContext,
        reconciler: Reconciler,
        *,
        renew_seconds: float = _RENEW_SECONDS,
    ) -> None:
        self._context = context
        self._reconciler = reconciler
        self._renew_seconds = renew_seconds

    @staticmethod
    def schedule(source: str) -> str:
        """Return the name under which a connection's job is scheduled."""
        return f"compare:{source}"

    @classmethod
    async def request(cls, db: AsyncConnection, source: str) -> None:
        """Request a reconcile of a connection as soon as a worker is free."""
        await schedules.hurry(db, cls.schedule(source), _WANTED)

    async def run(self, source: str, state: Mapping[str, Any]) -> None:
        """Reconcile once if that was requested; an incomplete run leaves the request in place.

        Only a run for this request is resumed: another may have read its list before the loss.
        """
        if not state.get("wanted") or await self._is_held(source):
            return
        name, engine = self.schedule(source), self._context.engine
        await in_transaction(engine, lambda c: _begin(c, name))
        renewal = asyncio.create_task(self._renew(name), name=f"renew {name}")
        try:
            complete = await self._reconcile_all(source, restart=not state.get("begun"))
        finally:
            renewal.cancel()
        await in_transaction(engine, lambda c: _end(c, name, complete=complete))

    async def _renew(self, name: str) -> None:
        """Keep other workers from this run, as long as this worker lives."""
        while True:
            await asyncio.sleep(self._renew_seconds)
            with suppress(Unavailable):
                await in_transaction(
                    self._context.engine, lambda c: schedules.hold(c, name, _HOLD_SECONDS)
                )

    async def _is_held(self, source: str) -> bool:
        states = await in_transaction(self._context.engine, connections.states)
        self._context.backoff.learn(states)
        held = self._context.backoff.left(source) > 0
        if self._context.limiter is not None:
            held = held or self._context.limiter.left(source, "list_page") > 0
        return held or (source in states and states[source].paused)

    async def _reconcile_all(self, source: str, *, restart: bool) -> bool:
        """Reconcile every entity type; return whether all runs were complete."""
        complete = True
        for entity_type in self._context.router.owner(source).entities:
            if entity_type in SHAPES:
                complete = await self._reconcile(source, entity_type, restart=restart) and complete
        return complete

    async def _reconcile(self, source: str, entity_type: str, *, restart: bool) -> bool:
        try:
            report = await self._reconciler.run(source, entity_type, repair=True, restart=restart)
        except StateConflict as error:
            _log.warning("comparison_stopped", source=source, reason=str(error))
            return False
        found = sum(report.found.values())
        _log.info(
            "comparison_ended",
            source=source,
            entity_type=entity_type,
            found=found,
            left=report.drifts,
            complete=report.complete,
        )
        return report.complete


async def _begin(db: AsyncConnection, name: str) -> None:
    await schedules.save(db, name, _BEGUN)
    await schedules.hold(db, name, _HOLD_SECONDS)


async def _end(db: AsyncConnection, name: str, *, complete: bool) -> None:
    """End the request, unless another one arrived during the run."""
    answered = complete and await schedules.state(db, name) == _BEGUN
    await schedules.hurry(db, name, {} if answered else None)
