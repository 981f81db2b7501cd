"""An API is killed between its commit and its answer: a repeated request has one effect."""

import hashlib
import hmac
import json
import signal
import time
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession

from tests.crash.processes import DEADLINE_SECONDS, NOWHERE, address, returncode, victim
from tests.crash.victim import COMMITTED
from tests.simulation.world import SECRET, World, open_world

ADA = {"name": "Ada", "email": "ada@example.com"}


def signed(event: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Return a webhook as Stripe sends it."""
    body, now = json.dumps(event).encode(), int(time.time())
    digest = hmac.new(SECRET.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return body, {"Stripe-Signature": f"t={now},v1={digest}", "Content-Type": "application/json"}


async def killed_while(world: World, point: str, method_path: str, **request: Any) -> None:
    """Send a request to an API that dies at this failpoint."""
    async with victim(world, "api", point) as process, ClientSession() as client:
        url = await address(process)
        with pytest.raises(ClientError):
            await client.post(f"{url}{method_path}", **request)
        assert await returncode(process) == -signal.SIGKILL


async def sent_again(world: World, path: str, **request: Any) -> tuple[int, dict[str, Any], str]:
    """Send a request to a living API; return status, body, and whether it was replayed."""
    async with victim(world, "api", NOWHERE) as process, ClientSession() as client:
        url = await address(process)
        async with client.post(f"{url}{path}", **request) as response:
            replayed = response.headers.get("Idempotent-Replayed", "")
            return response.status, await response.json(), replayed


async def test_a_customer_is_made_once(database_url: str) -> None:
    async with open_world(database_url, seed=1, workers=0) as world:
        request = {"json": ADA, "headers": {"Idempotency-Key": "order-1"}}
        await killed_while(world, COMMITTED, "/customers", **request)
        status, body, replayed = await sent_again(world, "/customers", **request)
        assert (status, body["name"], replayed) == (201, "Ada", "true")
        world.workers.append(await world.start_worker())
        await world.settle(DEADLINE_SECONDS)
        assert await world.scalar("SELECT count(*) FROM customers") == 1
        assert len(world.sandbox.dashboard.living()) == 1


@pytest.mark.parametrize("point", ["webhook.published"])
async def test_a_webhook_has_one_effect(database_url: str, point: str) -> None:
    async with open_world(database_url, seed=1, workers=0) as world:
        world.sandbox.dashboard.create({"name": "Grace"})
        headers = {"Authorization": f"Bearer {world.sandbox.api_key}"}
        async with (
            ClientSession(headers=headers) as client,
            client.get(f"{world.sandbox.base_url}/v1/events") as response,
        ):
            (event,) = (await response.json())["data"]
        body, signature = signed(event)
        request = {"data": body, "headers": signature}
        await killed_while(world, point, "/webhooks/stripe", **request)
        assert await world.scalar("SELECT count(*) FROM outbox") >= 1
        status, answer, _ = await sent_again(world, "/webhooks/stripe", **request)
        assert (status, answer) == (200, {"accepted": 1})
        world.workers.append(await world.start_worker())
        await world.settle(DEADLINE_SECONDS)
        assert await world.scalar("SELECT count(*) FROM customers") == 1
        made = "SELECT count(*) FROM sync_events WHERE direction = 'inbound'"
        assert await world.scalar(made) == 1
