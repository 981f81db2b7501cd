"""A message at the head of a real partition is ended by an operator, also after a crash between."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from tests.kafka.test_flow import settings
from tests.kafka.topics import delete_topics
from tests.support.flow import Flow, open_flow, running_worker
from tests.support.wait import until
from zenskar.errors import Unavailable
from zenskar.model.actor import Actor
from zenskar.model.envelope import OUTBOUND
from zenskar.ops.state.bus_messages import BusMessages
from zenskar.ops.state.message_place import LogPlace

BY = Actor("test", "a test", "it kills the workers")
DEAD = "SELECT count(*) FROM sync_events WHERE status = 'dead'"


class Died(Exception):
    """The process died at a failpoint."""


def messages(flow: Flow, **context: Any) -> BusMessages:
    runtime = flow.runtime
    changed = replace(runtime.context, **context)
    return BusMessages(changed, runtime.bus, runtime.schemas["event"])


async def head(flow: Flow) -> LogPlace:
    """Move the message to the log, and return its place when no worker is left."""
    async with running_worker(flow.runtime, "relay"):
        await flow.until_scalar("SELECT NOT EXISTS (SELECT FROM outbox)")

    async def find() -> LogPlace | None:
        # A new broker has no coordinator for a group until it has made its own topic.
        with suppress(Unavailable):
            for (topic, partition), each in (await flow.runtime.bus.log() or {}).items():
                if topic == OUTBOUND and each.behind:
                    return LogPlace(topic, partition)
        return None

    return await until(find)


@pytest.mark.parametrize("point", ["bus.ended"])
async def test_an_ended_message_is_skipped_although_the_first_command_is_killed(
    kafka: str, database_url: str, point: str
) -> None:
    async def die(passed: str) -> None:
        assert passed == point
        raise Died

    await delete_topics(kafka)
    async with open_flow(database_url, working=False, **settings(kafka)) as flow:
        await flow.create(name="Ada")
        place = await head(flow)
        with pytest.raises(Died):
            await messages(flow, failpoint=die).dead_letter(place, BY)
        assert (await messages(flow).peek(place)).status == "dead"
        again = await messages(flow).dead_letter(place, BY)
        assert not again.dead
        assert await flow.scalar(DEAD) == 1

        await flow.create(name="Eve")
        async with running_worker(flow.runtime):
            await flow.settle()
        (held,) = flow.systems["fake"].objects.values()
        assert held is not None
        assert held["name"] == "Eve"
        assert await flow.scalar(DEAD) == 1
