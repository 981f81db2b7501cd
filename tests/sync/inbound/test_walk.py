"""A webhook takes a short way through the code, to the bus and from there to its record."""

from tests.support.api import Api, open_api
from tests.support.api import event as event_of
from tests.support.flow import running_worker
from tests.support.walk import Walk, followed

MOST_CLIMBS = 2
"""The transaction that applies a batch calls the consumer to acknowledge its messages."""


async def receive(api: Api) -> Walk:
    """Send a webhook, and return its way to the bus."""
    with followed("RequestHandler.start", "Batcher._run") as walk:
        response = await api.webhook(event_of())
    assert response.status == 200
    return walk


async def apply(api: Api) -> Walk:
    """Run a worker until the event of the webhook is applied, and return its way."""
    with followed("run_until") as walk:
        async with running_worker(api.flow.runtime, "inbound"):
            await api.flow.settle()
    return walk


async def test_a_webhook_visits_few_rooms_and_hardly_climbs(database_url: str) -> None:
    async with open_api(database_url) as api:
        received, applied = await receive(api), await apply(api)
        assert await api.flow.scalar("SELECT count(*) FROM customers") == 1
    assert {"api", "sync/ingest", "plugins", "bus", "db"} < received.rooms
    assert {"worker", "sync/inbound", "sync/work", "kernel", "db"} < applied.rooms
    assert len(received.rooms) <= 7, received.rooms
    assert len(applied.rooms) <= 10, applied.rooms
    assert len(received.climbs) + len(applied.climbs) <= MOST_CLIMBS, applied.climbs
    assert len(received.files) <= 28, sorted(received.files)
    assert len(applied.files) <= 50, sorted(applied.files)
