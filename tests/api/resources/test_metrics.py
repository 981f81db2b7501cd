"""`/metrics`."""

import time
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from tests.support.api import UNKNOWN_ID, Api, body_of, event, open_api, problem_of
from tests.support.wait import until
from zenskar.api.app import create_probes
from zenskar.api.server import serve
from zenskar.db import connections, polls, reconcile_runs, schedules, workers
from zenskar.errors import Unavailable
from zenskar.ops.state.system_state import SystemReading
from zenskar.telemetry.metrics import WebhookRefusal


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
    assert shown[("zenskar_ready",)] == 1
    backlog = ("zenskar_backlog", "direction=outbound")
    assert shown[*backlog, "source=north", "status=pending"] == 1
    assert shown[*backlog, "source=north", "status=retrying"] == 0
    assert shown[*backlog, "source=south", "status=pending"] == 0
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
    refused = ("zenskar_webhooks_total", "reason=signature", "result=refused")
    assert shown[*refused, "source=north"] == 0
    assert shown[("zenskar_db_pool_size",)] == 10
    assert shown[("process_open_fds",)] > 0


async def test_the_state_of_connections_is_shown(database_url: str) -> None:
    async with open_api(database_url, "north", "south") as api:
        async with api.flow.runtime.engine.begin() as db:
            await connections.hold(db, "north", 60)
            found, left = {"different": 3}, {"different": 1}
            await reconcile_runs.save_result(
                db, "north", "customer", found=found, remaining=left, not_read=2
            )
            await schedules.take(db, polls.schedule("north"), 60)
            await polls.end(db, "north", next_in=60)
            await polls.fail(db, "north", 2, next_in=60)
        api.flow.runtime.router.turn_off("south", "a setting is missing")
        shown = await samples(api)
    assert shown["zenskar_connection_off", "source=south"] == 1
    assert shown["zenskar_connection_off", "source=north"] == 0
    assert 0 < shown["zenskar_connection_held_seconds", "source=north"] <= 60
    assert shown["zenskar_connection_held_seconds", "source=south"] == 0
    about = ("entity_type=customer", "kind=different", "source=north")
    assert shown["zenskar_reconcile_differences", *about, "state=found"] == 3
    assert shown["zenskar_reconcile_differences", *about, "state=remaining"] == 1
    assert shown["zenskar_reconcile_not_read", "entity_type=customer", "source=north"] == 2
    compared = ("zenskar_reconcile_last_run_timestamp_seconds", "entity_type=customer")
    assert abs(shown[*compared, "source=north"] - time.time()) < 60
    assert (*compared, "source=south") not in shown
    assert abs(shown["zenskar_last_poll_timestamp_seconds", "source=north"] - time.time()) < 60
    assert shown["zenskar_poll_failures", "source=north"] == 2


async def test_refused_webhooks_are_counted_and_logged_by_their_reason(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    too_large = b"x" * (api.services.settings.max_body_bytes + 1)
    signed = {"X-Signature": "good"}
    requests: list[tuple[bytes, dict[str, str], int]] = [
        (b"{}", {}, 400),
        (b"{}", {"X-Signature": "bad"}, 400),
        (b"{", signed, 400),
        (b"{}", signed | {"Content-Encoding": "gzip"}, 415),
        (too_large, signed, 413),
    ]
    for data, headers, status in requests:
        async with api.client.post("/webhooks/fake", data=data, headers=headers) as answer:
            assert answer.status == status
    await body_of(await api.webhook(event()), 200)
    shown = await samples(api)
    counted = {
        labels[1]: value
        for labels, value in shown.items()
        if labels[0] == "zenskar_webhooks_total" and "result=refused" in labels
    }
    assert counted == {f"reason={each.value}": 1 for each in WebhookRefusal}
    logged = [line for line in capsys.readouterr().out.splitlines() if "webhook_refused" in line]
    assert len(logged) == len(WebhookRefusal)
    assert all("source=fake" in line and "correlation_id=" in line for line in logged)
    assert abs(shown["zenskar_last_webhook_timestamp_seconds", "source=fake"] - time.time()) < 60


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
