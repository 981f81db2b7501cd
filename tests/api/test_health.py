"""Probes, and what they look at."""

import asyncio
from collections.abc import Sequence

import pytest
from aiohttp import ClientResponse
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.api import Api, body_of, open_api
from tests.support.postgres import open_gate
from tests.support.wait import until
from zenskar.api import health
from zenskar.api.health import HealthScope, HealthStatus, SystemHealth
from zenskar.db import connections, workers
from zenskar.db.connections import PAUSED, ConnectionState
from zenskar.db.driver.engine import create_engine, in_transaction
from zenskar.errors import Unavailable
from zenskar.ids import new_id


class Bus:
    """A bus that is well, away, stuck or broken."""

    def __init__(self, error: Exception | None = None, *, stuck: bool = False) -> None:
        self._error, self._stuck = error, stuck

    async def check(self) -> None:
        if self._error:
            raise self._error
        if self._stuck:
            await asyncio.Event().wait()


async def beat(engine: AsyncEngine, roles: Sequence[str] = workers.ROLES) -> None:
    await in_transaction(engine, lambda c: workers.beat(c, new_id(), roles))


async def test_live(api: Api) -> None:
    assert await body_of(await api.client.get("/health/live"), 200) == {
        "status": "ok",
        "checks": {},
    }


async def test_ready_names_every_part(api: Api) -> None:
    await beat(api.services.engine)
    report = await body_of(await api.client.get("/health/ready"), 200)
    assert report["status"] == "ok"
    assert set(report["checks"]) == {"database", "bus", "workers", "connections"}
    assert {check["status"] for check in report["checks"].values()} == {"ok"}


async def test_without_a_worker_it_is_degraded(engine: AsyncEngine) -> None:
    report = await SystemHealth(engine, Bus()).ready()
    assert (report.status, report.http_status) == (HealthStatus.DEGRADED, 200)
    assert report.checks["workers"].status is HealthStatus.DEGRADED


async def test_a_worker_that_fell_silent_does_not_count(engine: AsyncEngine) -> None:
    await beat(engine)
    async with engine.begin() as db:
        await db.exec_driver_sql("UPDATE workers SET seen_at = now() - interval '16 s'")
    assert (await SystemHealth(engine, Bus()).ready()).status is HealthStatus.DEGRADED


async def test_a_role_without_a_worker_is_named_with_the_work_that_waits(
    engine: AsyncEngine,
) -> None:
    await beat(engine, ["relay", "inbound"])
    scope = HealthScope(roles=("inbound", "outbound"))
    check = (await SystemHealth(engine, Bus(), scope).ready()).checks["workers"]
    assert check.detail == "outbound: no worker: changes for external systems wait"
    assert {name: part.status.value for name, part in check.parts.items()} == {
        "inbound": "ok",
        "outbound": "degraded",
    }


async def test_without_a_connection_nothing_is_synced(engine: AsyncEngine) -> None:
    await beat(engine)
    report = await SystemHealth(engine, Bus(), HealthScope(sources=())).ready()
    assert (report.status, report.http_status) == (HealthStatus.DEGRADED, 200)
    assert report.checks["connections"].detail.startswith("no connection is configured")


@pytest.mark.parametrize("reason", sorted(health.PAUSE_WORDS))
def test_a_pause_is_explained(reason: str) -> None:
    state = ConnectionState("crm", PAUSED, reason)
    check = health.connection_health(state, None)
    assert check.status is HealthStatus.DEGRADED
    assert check.detail == f"paused ({reason}): {health.PAUSE_WORDS[reason]}"


async def test_a_stopping_process_asks_for_no_more_requests_at_once(api: Api) -> None:
    assert (await api.client.get("/health/ready")).status == 200
    api.flow.runtime.stopping.set()
    report = await body_of(await api.client.get("/health/ready"), 503)
    assert report["checks"]["process"]["detail"] == "is stopping: send requests elsewhere"
    assert (await api.client.get("/health/live")).status == 200
    assert (await api.client.get("/customers?limit=1")).status == 200


async def test_a_paused_connection_is_named(engine: AsyncEngine) -> None:
    await beat(engine)
    await in_transaction(engine, lambda c: connections.pause(c, "fake", "by hand"))
    report = await SystemHealth(engine, Bus()).ready()
    assert report.status is HealthStatus.DEGRADED
    assert report.checks["connections"].detail == "paused: fake"


@pytest.mark.parametrize("bus", [Bus(Unavailable("away")), Bus(RuntimeError("x"))])
async def test_without_the_bus_it_is_unavailable(engine: AsyncEngine, bus: Bus) -> None:
    await beat(engine)
    report = await SystemHealth(engine, bus).ready()
    assert (report.status, report.http_status) == (HealthStatus.UNAVAILABLE, 503)
    assert report.checks["bus"].status is HealthStatus.UNAVAILABLE
    assert report.checks["database"].status is HealthStatus.OK


async def test_a_bus_that_does_not_answer_is_not_waited_for(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_CHECK_SECONDS", 0.5)
    report = await SystemHealth(engine, Bus(stuck=True)).ready()
    assert report.status is HealthStatus.UNAVAILABLE
    assert "no answer" in report.checks["bus"].detail


async def ready(api: Api, status: int) -> ClientResponse | None:
    """Return the answer once it has this status."""
    answer = await api.client.get("/health/ready")
    return answer if answer.status == status else None


async def test_without_the_database_it_is_503_and_recovers(database_url: str) -> None:
    async with open_gate(database_url) as gate, open_api(gate.url) as api:
        assert (await api.client.get("/health/ready")).status == 200
        await gate.close()
        # A report is kept for a second.
        report = await body_of(await until(lambda: ready(api, 503)), 503)
        assert report["status"] == "unavailable"
        assert report["checks"]["database"]["status"] == "unavailable"
        assert (await api.client.get("/health/live")).status == 200
        await gate.open()
        await until(lambda: ready(api, 200))


async def test_a_database_that_takes_no_writes_makes_it_unavailable(database_url: str) -> None:
    read_only = f"{database_url}&options=-c%20default_transaction_read_only%3Don"
    engine = create_engine(read_only, pool_size=5)
    report = await SystemHealth(engine, Bus()).ready()
    assert report.http_status == 503
    assert report.checks["database"].detail == "the database is read-only"
    await engine.dispose()
