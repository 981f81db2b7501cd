"""`/metrics`."""

from dataclasses import replace
from typing import Any

from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from tests.support.api import UNKNOWN_ID, Api, body_of, open_api, problem_of
from tests.support.wait import until
from zenskar.api.app import create_probes
from zenskar.api.server import serve
from zenskar.db import connections, workers
from zenskar.errors import Unavailable
from zenskar.ops.system_state import SystemReading


async def test_routes_are_counted_by_template(api: Api) -> None:
    await api.create()
    await api.client.get(f"/customers/{UNKNOWN_ID}")
    await api.client.get("/secret-path-canary")
    await api.client.request("CANARY", "/customers")
    response = await api.client.get("/metrics")
    text = await response.text()
    assert response.status == 200
    counted = 'zenskar_http_requests_total{method="GET",route="/customers/{id}",status="404"} 1.0'
    assert counted in text
    assert 'route="unmatched",status="404"' in text
    assert "zenskar_http_request_seconds_bucket" in text
    assert "canary" not in text.lower()
    assert UNKNOWN_ID not in text
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert all(name.startswith(("zenskar_", "process_")) for name in names)


async def test_what_waits_is_told_as_it_is_now(api: Api) -> None:
    for number in range(3):
        await api.create(name=f"Customer {number}")
    text = await (await api.client.get("/metrics")).text()
    assert 'zenskar_outbox_depth{state="due",topic="sync.outbound"} 3.0' in text
    async with api.flow.runtime.engine.begin() as db:
        await db.exec_driver_sql("DELETE FROM outbox")

    async def is_empty() -> bool:
        text = await (await api.client.get("/metrics")).text()
        return 'zenskar_outbox_depth{state="due",topic="sync.outbound"} 0.0' in text

    # A count is kept for some seconds.
    await until(is_empty)


async def test_some_of_them_may_be_asked_for(api: Api) -> None:
    await api.create()
    text = await (await api.client.get("/metrics?name[]=zenskar_outbox_depth")).text()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert names == {"zenskar_outbox_depth"}


async def test_a_worker_serves_its_own_and_answers_as_the_api_does(api: Api) -> None:
    services = api.services
    served = serve(create_probes(services), "127.0.0.1", 0, services.settings)
    async with served as address, ClientSession(address) as client:
        assert (await client.get("/health/live")).status == 200
        assert "zenskar_outbox_depth" in await (await client.get("/metrics")).text()
        await problem_of(await client.get("/customers"), 404)


async def test_every_state_that_a_person_acts_on_is_shown(database_url: str) -> None:
    async with open_api(database_url, "north", "south") as api:
        body: dict[str, Any] = {"id": "evt_1", "type": "customer.created", "at": 1, "key": None}
        body["object"] = {"id": "obj_1"}
        await body_of(await api.webhook(body, "north"), 200)
        await api.create()
        async with api.flow.runtime.engine.begin() as db:
            await connections.pause(db, "south", "breaker")
            await workers.beat(db, UNKNOWN_ID, ("inbound", "outbound"))
            await db.exec_driver_sql(
                "UPDATE sync_events SET status = 'dead', error_kind = 'rejected'"
                " WHERE direction = 'outbound' AND source_system = 'south'"
            )
        shown = await samples(api)
    assert shown["zenskar_up", "part=database"] == 1
    assert shown["zenskar_up", "part=connections"] == 0
    assert shown["zenskar_connection_paused", "reason=breaker", "source=south"] == 1
    assert shown["zenskar_connection_paused", "reason=", "source=north"] == 0
    assert shown["zenskar_backlog", "direction=outbound", "source=north"] == 1
    assert shown["zenskar_backlog", "direction=outbound", "source=south"] == 0
    assert shown["zenskar_backlog_oldest_seconds", "direction=outbound", "source=north"] > 0
    assert shown["zenskar_dead_letters_waiting", "kind=rejected", "source=south"] == 1
    assert shown["zenskar_workers", "role=inbound"] == 1
    assert shown["zenskar_workers", "role=scheduler"] == 0
    assert shown["zenskar_outbox_depth", "state=due", "topic=sync.inbound"] == 1
    assert shown["zenskar_outbox_oldest_seconds", "topic=sync.inbound"] > 0
    assert shown["zenskar_delete_guard_used", "source=north"] == 0
    assert shown["zenskar_delete_guard_limit", "source=north"] == 100
    assert shown["zenskar_table_bytes", "table=customers"] > 0
    assert shown["zenskar_dead_letters_total", "kind=rejected", "source=north"] == 0
    assert shown["zenskar_webhooks_total", "result=refused", "source=north"] == 0
    assert shown[("zenskar_db_pool_size",)] == 10
    assert shown[("process_open_fds",)] > 0


async def test_a_state_that_cannot_be_read_is_absent(api: Api) -> None:
    async def away() -> SystemReading:
        raise Unavailable("the database")

    services = replace(api.services, state=away)
    served = serve(create_probes(services), "127.0.0.1", 0, services.settings)
    async with served as address, ClientSession(address) as client:
        text = await (await client.get("/metrics")).text()
    assert 'zenskar_up{part="database"} 1.0' in text
    assert "zenskar_backlog{" not in text


async def samples(api: Api) -> dict[tuple[str, ...], float]:
    """Return the samples of /metrics by their name and labels."""
    text = await (await api.client.get("/metrics")).text()
    return {
        (each.name, *sorted(f"{name}={value}" for name, value in each.labels.items())): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }
