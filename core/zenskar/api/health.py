"""Check the parts that a process depends on."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.api.shared_answer import SharedAnswer
from zenskar.db import connections, workers
from zenskar.db.connections import (
    DELETE_GUARD,
    OTHER_ACCOUNT,
    PAUSED_BY_OPERATOR,
    SAME_ACCOUNT,
    ConnectionState,
)
from zenskar.db.driver.engine import in_transaction, ping
from zenskar.db.driver.writable import check_writable
from zenskar.errors import FailureKind, Unavailable, ZenskarError
from zenskar.ops.state.system_state import WORKER_SECONDS
from zenskar.sync.resilience.circuit_breaker import OUTAGE

REQUIRED = frozenset({"database", "bus", "consumers"})
"""Parts without which no request can be served; without the others, messages wait."""

_CHECK_SECONDS = 3.0
_WRITABLE_SECONDS = 5.0


ROLE_WORK = MappingProxyType(
    {
        "relay": "messages for Kafka wait",
        "inbound": "events of external systems wait",
        "outbound": "changes for external systems wait",
        "scheduler": "polls, probes of outages and repairs wait",
    }
)
"""The work that waits while no worker has a role."""
PAUSE_WORDS = MappingProxyType(
    {
        OUTAGE: "its system does not answer, and the connection resumes when it does",
        FailureKind.CREDENTIALS.value: "set valid credentials, restart, and resume",
        DELETE_GUARD: "its deletes and events wait for a decision",
        OTHER_ACCOUNT: "its credentials open another account; nothing is sent",
        SAME_ACCOUNT: "another connection has its account; nothing is sent",
        PAUSED_BY_OPERATOR: "changes wait until it is resumed",
    }
)
"""The meaning of each reason of a pause."""


class HealthStatus(StrEnum):
    """The health of a part or of the process."""

    OK = "ok"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Check:
    """The health of a part, and of each role, consumer or connection in it by name."""

    status: HealthStatus
    detail: str = ""
    parts: Mapping[str, "Check"] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the form in the response."""
        found: dict[str, Any] = {"status": self.status, "detail": self.detail}
        if self.parts:
            found["parts"] = {name: part.to_json() for name, part in self.parts.items()}
        return found


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
        checks = {name: check.to_json() for name, check in self.checks.items()}
        return {"status": self.status, "checks": checks}


class Checkable(Protocol):
    """A part that can check itself."""

    async def check(self) -> None:
        """Raise `Unavailable` unless the part works."""


@dataclass(frozen=True, slots=True)
class HealthScope:
    """The parts of a process that its health depends on.

    `sources` are its connections, and `off` those whose integration does not work. `roles` are
    the roles that some worker must have. `consumers` returns the problem of each consumer of a
    worker, or "" without one. `stopping` returns whether the process is about to close its port.
    """

    sources: Collection[str] | None = None
    off: Mapping[str, str] = field(default_factory=dict)
    roles: Collection[str] = tuple(ROLE_WORK)
    consumers: Callable[[], Mapping[str, str]] | None = None
    stopping: Callable[[], bool] = lambda: False


class SystemHealth:
    """Checks the database, the bus, the workers, the connections, and a worker's consumers."""

    def __init__(
        self, engine: AsyncEngine, bus: Checkable, scope: HealthScope | None = None
    ) -> None:
        self._engine = engine
        self._bus = bus
        self._scope = scope or HealthScope()
        self._writable = SharedAnswer(lambda: check_writable(engine), seconds=_WRITABLE_SECONDS)

    @property
    def stopping(self) -> bool:
        """Whether the process is about to close its port."""
        return self._scope.stopping()

    async def live(self) -> HealthReport:
        """Report that the process is alive; a restart would not repair its dependencies."""
        return HealthReport(HealthStatus.OK)

    async def ready(self) -> HealthReport:
        """Check all parts concurrently, each within a time limit."""
        if self.stopping:
            check = Check(HealthStatus.UNAVAILABLE, "is stopping: send requests elsewhere")
            return HealthReport(HealthStatus.UNAVAILABLE, {"process": check})
        parts: dict[str, Callable[[], Awaitable[Check | None]]] = {
            "database": self._database,
            "bus": self._bus.check,
            "workers": self._workers,
            "connections": self._connections,
        }
        if self._scope.consumers is not None:
            parts["consumers"] = self._consumers
        found = await asyncio.gather(*(_bounded(check) for check in parts.values()))
        return _summary(dict(zip(parts, found, strict=True)))

    async def _database(self) -> None:
        await ping(self._engine)
        await self._writable.get()

    async def _workers(self) -> Check:
        async def read(db: AsyncConnection) -> tuple[int, Mapping[str, int], list[str]]:
            return (
                await workers.alive(db, WORKER_SECONDS),
                await workers.roles(db, WORKER_SECONDS),
                await workers.problems(db, WORKER_SECONDS),
            )

        alive, roles, problems = await in_transaction(self._engine, read)
        parts = {role: _role(role, roles.get(role, 0)) for role in self._scope.roles}
        if alive == 0:
            text = "no worker has sent a heartbeat lately"
            return Check(HealthStatus.DEGRADED, text, parts)
        missing = [f"{n}: {c.detail}" for n, c in parts.items() if c.status is not HealthStatus.OK]
        if texts := [*problems, *missing]:
            return Check(HealthStatus.DEGRADED, "; ".join(texts), parts)
        return Check(HealthStatus.OK, f"{alive} alive", parts)

    async def _consumers(self) -> Check:
        known = self._scope.consumers() if self._scope.consumers is not None else {}
        parts = {name: _consumer(problem) for name, problem in known.items()}
        if problems := [problem for problem in known.values() if problem]:
            return Check(HealthStatus.UNAVAILABLE, "; ".join(problems), parts)
        return Check(HealthStatus.OK, parts=parts)

    async def _connections(self) -> Check:
        states = await in_transaction(self._engine, connections.states)
        off, sources = self._scope.off, self._scope.sources
        if sources is not None and not sources and not off:
            text = "no connection is configured: nothing is synced"
            return Check(HealthStatus.DEGRADED, text)
        names = dict.fromkeys((*(sources or ()), *sorted(states), *sorted(off)))
        parts = {name: connection_health(states.get(name), off.get(name)) for name in names}
        found = {
            "paused": [name for name in names if name in states and states[name].paused],
            "held back": [_held(s) for s in states.values() if s.held_seconds and not s.paused],
            "off": sorted(off),
        }
        details = [f"{state}: {', '.join(sorted(n))}" for state, n in found.items() if n]
        status = HealthStatus.DEGRADED if details else HealthStatus.OK
        return Check(status, "; ".join(details), parts)


def _role(role: str, count: int) -> Check:
    if count:
        return Check(HealthStatus.OK, f"{count} alive")
    return Check(HealthStatus.DEGRADED, f"no worker: {ROLE_WORK[role]}")


def _consumer(problem: str) -> Check:
    return Check(HealthStatus.UNAVAILABLE if problem else HealthStatus.OK, problem)


def connection_health(state: ConnectionState | None, problem: str | None) -> Check:
    """Return the health of a connection in words; `problem` says why it is off."""
    if problem is not None:
        return Check(HealthStatus.DEGRADED, f"off: {problem}")
    if state is not None and state.paused:
        words = PAUSE_WORDS.get(state.reason or "", "nothing is sent, and changes wait")
        return Check(HealthStatus.DEGRADED, f"paused ({state.reason}): {words}")
    if state is not None and state.held_seconds:
        text = f"held back for {state.held_seconds:.0f} s because of a rate limit: calls wait"
        return Check(HealthStatus.DEGRADED, text)
    return Check(HealthStatus.OK)


def _held(state: ConnectionState) -> str:
    return f"{state.name} for {state.held_seconds:.0f} s because of a rate limit"


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
