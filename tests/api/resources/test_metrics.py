"""`/metrics`."""

from aiohttp import ClientSession

from tests.support.api import UNKNOWN_ID, Api, problem_of
from tests.support.wait import until
from zenskar.api.app import create_probes
from zenskar.api.server import serve


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
    assert all(name.startswith("zenskar_") for name in names)


async def test_what_waits_is_told_as_it_is_now(api: Api) -> None:
    for number in range(3):
        await api.create(name=f"Customer {number}")
    text = await (await api.client.get("/metrics")).text()
    assert 'zenskar_outbox_depth{topic="sync.outbound"} 3.0' in text
    async with api.flow.runtime.engine.begin() as db:
        await db.exec_driver_sql("DELETE FROM outbox")

    async def is_empty() -> bool:
        return "zenskar_outbox_depth{" not in await (await api.client.get("/metrics")).text()

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
