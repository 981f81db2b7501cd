"""Compare a connection as a whole with its external system, because something may be missing."""

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import connections, schedules
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import StateConflict
from zenskar.model.fields import SHAPES
from zenskar.sync.context import SyncContext
from zenskar.sync.reconcile.reconciler import Reconciler
from zenskar.telemetry.logs import get_logger

_WANTED = orjson.dumps({"wanted": True}).decode()
_DONE = "{}"
_HOLD_SECONDS = 3600.0
"""Nobody else begins meanwhile. A run that dies is gone on with after that."""
_log = get_logger(__name__)


class Comparison:
    """Runs the comparison of a connection that somebody wants, and mends what it finds."""

    def __init__(self, context: SyncContext, reconciler: Reconciler) -> None:
        self._context = context
        self._reconciler = reconciler

    @staticmethod
    def schedule(source: str) -> str:
        """Return the name under which a connection's comparisons are scheduled."""
        return f"compare:{source}"

    @classmethod
    async def want(cls, db: AsyncConnection, source: str) -> None:
        """Have a connection compared soon."""
        await schedules.hurry(db, cls.schedule(source), _WANTED)

    async def run(self, source: str, state: Mapping[str, Any]) -> None:
        """Compare once, if that is wanted; what stops it leaves it wanted."""
        if not state.get("wanted") or await self._rests(source):
            return
        name, engine = self.schedule(source), self._context.engine
        await in_transaction(engine, lambda c: schedules.hold(c, name, _HOLD_SECONDS))
        complete = True
        for entity_type in self._context.router.owner(source).entities:
            if entity_type in SHAPES:
                complete = await self._compare(source, entity_type) and complete
        left = _DONE if complete else _WANTED
        await in_transaction(engine, lambda c: schedules.hurry(c, name, left))

    async def _rests(self, source: str) -> bool:
        states = await in_transaction(self._context.engine, connections.states)
        self._context.backoff.learn(states)
        held = self._context.backoff.left(source) > 0
        return held or (source in states and states[source].paused)

    async def _compare(self, source: str, entity_type: str) -> bool:
        try:
            report = await self._reconciler.run(source, entity_type, repair=True)
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
