"""`/metrics`."""

from tests.support.api import UNKNOWN_ID, Api


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
    async with api.flow.runtime.engine.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM outbox")
    text = await (await api.client.get("/metrics")).text()
    assert "zenskar_outbox_depth{" not in text
