"""Delete rows that are older than their retention time."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db import expired_rows, schedules
from zenskar.db.driver.engine import in_transaction
from zenskar.settings import Settings
from zenskar.telemetry.logs import get_logger

_PAUSE_SECONDS = 0.05
_MOST_PIECES = 2000
"""Two million rows in one run; the next run is an hour later."""
_log = get_logger(__name__)


class Retention:
    """Deletes old rows of one kind: history, payloads, pushes, audit, runs or idempotency keys."""

    def __init__(
        self,
        engine: AsyncEngine,
        kind: str,
        days: float,
        *,
        pause_seconds: float = _PAUSE_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._kind = kind
        self._days = days
        self._pause_seconds = pause_seconds
        self._now = now

    @property
    def schedule(self) -> str:
        """The name of the job."""
        return f"forget_{self._kind}"

    async def run(self, state: Any) -> None:
        """Delete every old row, a batch in each transaction."""
        before = self._now() - timedelta(days=self._days)
        # A row without its payload stays, so reading all rows again would take longer each time.
        after = (
            str(state.get("after", expired_rows.FIRST))
            if self._kind == "payloads"
            else (expired_rows.FIRST)
        )
        total = 0
        for _ in range(_MOST_PIECES):
            piece = await self._piece(before, after)
            total += piece.rows
            after = piece.last or after
            if piece.rows < expired_rows.BATCH:
                break
            await asyncio.sleep(self._pause_seconds)
        if total:
            _log.info("old_rows_forgotten", kind=self._kind, rows=total)

    async def _piece(self, before: datetime, after: str) -> expired_rows.Piece:
        async def forget(db: AsyncConnection) -> expired_rows.Piece:
            piece = await expired_rows.forget(db, self._kind, before, after)
            if piece.last is not None and self._kind == "payloads":
                await schedules.save(db, self.schedule, {"after": piece.last})
            return piece

        return await in_transaction(self._engine, forget)


def retentions(engine: AsyncEngine, settings: Settings) -> tuple[Retention, ...]:
    """Return a job for each kind of rows that has a retention time."""
    days = {
        "history": settings.retention_history_days,
        "payloads": settings.retention_payload_days,
        "pushes": settings.retention_push_days,
        "audit": settings.retention_audit_days,
        "runs": settings.retention_audit_days,
        "idempotency_keys": settings.retention_idempotency_key_days,
    }
    return tuple(Retention(engine, kind, each) for kind, each in days.items() if each)
