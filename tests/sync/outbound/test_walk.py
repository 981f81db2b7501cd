"""A push takes a short way through the code: few rooms and files, hardly a call upwards."""

from tests.support.flow import open_flow, running_worker
from tests.support.walk import followed

MOST_ROOMS, MOST_CLIMBS, MOST_FILES = 10, 2, 62
"""A push visits 60 files; each of them decides, translates or stores a part of it."""


async def test_a_push_visits_few_rooms_and_hardly_climbs(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        record_id = await flow.create()
        with followed("OutboundConsumer._handle", "Batcher._run") as walk:
            async with running_worker(flow.runtime, "outbound"):
                await flow.settle()
                await flow.runtime.customers.patch(
                    record_id, {"name": "Eve"}, correlation_id="test"
                )
                await flow.settle()
        (held,) = flow.systems["fake"].objects.values()
    assert held is not None
    assert held["name"] == "Eve"
    assert {"worker", "sync/outbound", "sync/work", "kernel", "plugins", "db"} < walk.rooms
    assert len(walk.rooms) <= MOST_ROOMS, walk.rooms
    assert len(walk.climbs) <= MOST_CLIMBS, walk.climbs
    assert len(walk.files) <= MOST_FILES, sorted(walk.files)
