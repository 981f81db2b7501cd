"""A message that is parked while its connection is being resumed does not wait for a scheduler."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.flow import Flow, open_flow, running_worker
from zenskar.db import connections
from zenskar.db.connections import OTHER_ACCOUNT
from zenskar.db.driver.engine import in_transaction


@pytest.fixture
async def paused(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Flow, list[Any]]]:
    """A paused connection that is resumed when the first message is parked; the parked messages."""
    async with open_flow(database_url, working=False) as flow:
        engine, park, parked = flow.runtime.engine, flow.runtime.bus.park, list[Any]()

        async def resume_and_park(deliveries: Any) -> None:
            if not parked:
                await in_transaction(engine, lambda c: connections.resume(c, "fake"))
            parked.extend(deliveries)
            await park(deliveries)

        monkeypatch.setattr(flow.runtime.bus, "park", resume_and_park)
        await in_transaction(engine, lambda c: connections.pause(c, "fake", OTHER_ACCOUNT))
        yield flow, parked


async def test_an_event_is_applied(paused: tuple[Flow, list[Any]]) -> None:
    flow, parked = paused
    flow.systems["fake"].create(name="Ada")
    async with running_worker(flow.runtime, "inbound"):
        await flow.deliver()
    assert await flow.scalar("SELECT count(*) FROM customers") == 1
    assert len(parked) == 1


async def test_a_change_is_pushed(paused: tuple[Flow, list[Any]]) -> None:
    flow, parked = paused
    await flow.create(name="Ada")
    async with running_worker(flow.runtime, "outbound"):
        await flow.until_scalar("SELECT count(*) = 1 FROM external_mappings")
    assert len(parked) == 1
