"""Check the parts that a process depends on."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.api.shared_answer import SharedAnswer
from zenskar.db import connections, workers
from zenskar.db.driver.engine import in_transaction, ping
from zenskar.db.driver.writable import check_writable
from zenskar.errors import Unavailable, ZenskarError
from zenskar.ops.system_state import WORKER_SECONDS

REQUIRED = frozenset({"database", "bus", "consumers"})
"""Parts without which no request can be served; without the others, messages wait."""

_CHECK_SECONDS = 3.0
_WRITABLE_SECONDS = 5.0


class HealthStatus(StrEnum):
    """The health of a part or of the process."""

    OK = "ok"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Check:
    """The health of one part."""

    status: HealthStatus
    detail: str = ""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The health of the process, and of each part by name."""

    status: HealthStatus
    checks: dict[str, Check] = field(default_factory=dict)

    @property
    def http_status(self) -> int:
        """200, or 503 when a load balancer should send requests elsewhere."""
        return 503 if self.status is HealthStatus.UNAVAILABLE else 200

    def to_json(self) -> dict[str, Any]:
        """Return the body of the response."""
        checks = {n: {"status": c.status, "detail": c.detail} for n, c in self.checks.items()}
        return {"status": self.status, "checks": checks}


class Checkable(Protocol):
    """A part that can check itself."""

    async def check(self) -> None:
        """Raise `Unavailable` unless the part works."""


class SystemHealth:
    """Checks the database, the bus, the workers and the connections.

    `off` are the connections whose integration does not work in this process. `consumers` returns
    the problems of a worker's consumers. A worker with such problems is not ready.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        bus: Checkable,
        off: Mapping[str, str] | None = None,
        consumers: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        self._engine = engine
        self._bus = bus
        self._off = off if off is not None else {}
        self._problems = consumers
        self._writable = SharedAnswer(lambda: check_writable(engine), seconds=_WRITABLE_SECONDS)

    async def live(self) -> HealthReport:
        """Report that the process is alive; a restart would not repair its dependencies."""
        return HealthReport(HealthStatus.OK)

    async def ready(self) -> HealthReport:
        """Check all parts concurrently, each within a time limit."""
        parts: dict[str, Callable[[], Awaitable[Check | None]]] = {
            "database": self._database,
            "bus": self._bus.check,
            "workers": self._workers,
            "connections": self._connections,
        }
        if self._problems is not None:
            parts["consumers"] = self._consumers
        found = await asyncio.gather(*(_bounded(check) for check in parts.values()))
        return _summary(dict(zip(parts, found, strict=True)))

    async def _database(self) -> None:
        await ping(self._engine)
        await self._writable.get()

    async def _workers(self) -> Check:
        alive = await in_transaction(
            self._engine, lambda c: workers.alive(c, within_seconds=WORKER_SECONDS)
        )
        if alive == 0:
            return Check(HealthStatus.DEGRADED, "no worker has sent a heartbeat lately")
        problems = await in_transaction(
            self._engine, lambda c: workers.problems(c, within_seconds=WORKER_SECONDS)
        )
        if problems:
            return Check(HealthStatus.DEGRADED, "; ".join(problems))
        return Check(HealthStatus.OK, f"{alive} alive")

    async def _consumers(self) -> Check:
        problems = self._problems() if self._problems is not None else ()
        if problems:
            return Check(HealthStatus.UNAVAILABLE, "; ".join(problems))
        return Check(HealthStatus.OK)

    async def _connections(self) -> Check:
        states = await in_transaction(self._engine, connections.states)
        paused = sorted(name for name, state in states.items() if state.paused)
        held = sorted(
            f"{name} for {state.held_seconds:.0f} s because of a rate limit"
            for name, state in states.items()
            if state.held_seconds and not state.paused
        )
        found = {"paused": paused, "held back": held, "off": sorted(self._off)}
        details = [f"{state}: {', '.join(names)}" for state, names in found.items() if names]
        return (
            Check(HealthStatus.DEGRADED, "; ".join(details)) if details else Check(HealthStatus.OK)
        )


async def _bounded(check: Callable[[], Awaitable[Check | None]]) -> Check:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            return await check() or Check(HealthStatus.OK)
    except TimeoutError:
        return Check(HealthStatus.UNAVAILABLE, f"no answer within {_CHECK_SECONDS:g} seconds")
    except Unavailable as error:
        return Check(HealthStatus.UNAVAILABLE, str(error))
    except ZenskarError as error:
        return Check(HealthStatus.DEGRADED, str(error))
    except Exception as error:  # noqa: BLE001 - a failed check is a result, not a crash
        return Check(HealthStatus.UNAVAILABLE, type(error).__name__)


def _summary(checks: dict[str, Check]) -> HealthReport:
    bad = {name for name, check in checks.items() if check.status is not HealthStatus.OK}
    unavailable = {name for name in bad if checks[name].status is HealthStatus.UNAVAILABLE}
    if unavailable & REQUIRED:
        return HealthReport(HealthStatus.UNAVAILABLE, checks)
    return HealthReport(HealthStatus.DEGRADED if bad else HealthStatus.OK, checks)
