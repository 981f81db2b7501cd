"""`zenskar api` and `zenskar worker` as processes."""

import asyncio
import json
import signal
import urllib.request

import pytest

from tests.cli.conftest import Cli, Start
from tests.cli.processes import ada, ask, until
from zenskar_stripe.sandbox import Fault, FaultKind, StripeSandbox

ANY_PORT = {"ZENSKAR_PORT": "0", "ZENSKAR_WORKER_HEALTH_PORT": "0"}


def test_both_serve_and_stop_when_told_to(start: Start, database_url: str) -> None:
    variables = {"ZENSKAR_DATABASE_URL": database_url, **ANY_PORT}
    api = start("api", "--output", "json", **variables)
    worker = start("worker", "--output", "json", **variables)
    address, probes = api.ready()["api"], worker.ready()["worker"]
    status, problem = ask(f"{address}/customers")
    assert (status, problem["status"]) == (401, 401)
    assert ask(f"{address}/health/live")[0] == 200
    found = until(lambda: _workers(address))
    assert found["detail"] == "1 alive"
    assert ask(f"{probes}/health/ready")[1]["checks"]["database"]["status"] == "ok"
    assert ask(f"{probes}/health/live")[0] == 200
    with urllib.request.urlopen(f"{probes}/metrics", timeout=10) as response:
        assert "zenskar_" in response.read().decode()
    assert (worker.stop(), api.stop(signal.SIGINT)) == (0, 0)
    assert "Traceback" not in api.stderr + worker.stderr


def test_readiness_ends_before_the_port_is_closed(start: Start, database_url: str) -> None:
    variables = {"ZENSKAR_DATABASE_URL": database_url, "ZENSKAR_DRAIN_SECONDS": "60", **ANY_PORT}
    api = start("api", "--output", "json", **variables)
    address = api.ready()["api"]
    assert ask(f"{address}/health/ready")[0] == 200
    api.process.send_signal(signal.SIGTERM)
    until(lambda: ask(f"{address}/health/ready")[0] == 503)
    assert ask(f"{address}/health/live")[0] == 200
    # A second signal ends the wait.
    assert api.stop() == 130


def test_a_server_writes_json_alone(start: Start, database_url: str) -> None:
    variables = {"ZENSKAR_DATABASE_URL": database_url, **ANY_PORT}
    api = start("api", **variables)
    lines = until(lambda: [json.loads(line) for line in api.stderr.splitlines()] or None)
    assert lines[-1]["event"] == "server_ready"
    assert lines[-1]["address"].startswith("http://127.0.0.1:")
    assert api.stop() == 0
    assert api.stdout == ""


def _workers(address: str) -> dict[str, str] | None:
    check: dict[str, str] = ask(f"{address}/health/ready")[1]["checks"]["workers"]
    return check if check["status"] == "ok" else None


def test_a_key_from_the_command_line_opens_the_api(start: Start, cli: Cli, database: str) -> None:
    key = cli("keys", "create", "test").strip()
    address = start("api", "--output", "json", ZENSKAR_DATABASE_URL=database, **ANY_PORT).ready()
    request = urllib.request.Request(
        f"{address['api']}/customers", headers={"Authorization": f"Bearer {key}"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 200


async def test_a_worker_finishes_its_call_before_it_stops(start: Start, database_url: str) -> None:
    async with StripeSandbox(api_key="sk_test_drain") as stripe:
        stripe.faults.add(Fault(kind=FaultKind.DELAY, method="POST", delay_seconds=1.5))
        variables = {
            "ZENSKAR_DATABASE_URL": database_url,
            "ZENSKAR_AUTH": "off",
            "STRIPE_API_KEY": "sk_test_drain",
            "STRIPE_WEBHOOK_SECRET": "whsec_drain",
            "STRIPE_API_BASE": stripe.base_url,
            **ANY_PORT,
        }
        api = start("api", "--output", "json", **variables)
        worker = start("worker", "--output", "json", "--roles", "outbound", **variables)
        await asyncio.to_thread(worker.ready)
        address = (await asyncio.to_thread(api.ready))["api"]
        _, made = await asyncio.to_thread(ask, f"{address}/customers", ada())
        url = f"{address}/sync-events?customer_id={made['id']}"

        def status() -> str:
            return str(ask(url)[1]["data"][0]["status"])

        await asyncio.to_thread(until, lambda: status() == "processing")
        assert await asyncio.to_thread(worker.stop) == 0
        assert await asyncio.to_thread(status) == "succeeded"
        pushes = [call for call in stripe.requests if call.method == "POST"]
        assert len(pushes) == 1


@pytest.mark.parametrize("roles", ["", ",", "inbound,nonsense"])
def test_unknown_roles_are_refused(cli: Cli, database: str, roles: str) -> None:
    assert "relay,inbound,outbound,scheduler" in cli("worker", "--roles", roles, code=1)


def test_auth_may_not_be_off_for_the_world(
    cli: Cli, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZENSKAR_AUTH", "off")
    monkeypatch.setenv("ZENSKAR_HOST", "0.0.0.0")
    assert "ZENSKAR_AUTH=off is refused" in cli("api", code=1)
