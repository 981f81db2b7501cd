"""The reason of an operator is shown where a pause is shown."""

from tests.support.flow import Flow, open_flow
from zenskar.db import connections as states
from zenskar.db.driver.engine import in_transaction
from zenskar.model.actor import Actor
from zenskar.ops import connections
from zenskar.ops.connections import ResumeRequest


async def note(flow: Flow) -> str | None:
    sources = flow.runtime.router.sources
    engine = flow.runtime.engine
    return (
        await in_transaction(engine, lambda c: connections.status(c, "fake", sources))
    ).pause_note


async def pause(flow: Flow, reason: str | None) -> None:
    by, told = Actor("Ada", "here", reason), flow.runtime.context.broadcaster
    await in_transaction(flow.runtime.engine, lambda c: connections.pause(c, "fake", by, told))


async def test_the_reason_is_that_of_the_present_pause(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        assert await note(flow) is None
        await pause(flow, "an incident")
        assert await note(flow) == "an incident"
        by, told = Actor("Ada", "here", "over"), flow.runtime.context.broadcaster
        await in_transaction(
            flow.runtime.engine,
            lambda c: connections.resume(c, "fake", by, ResumeRequest(), told),
        )
        assert await note(flow) is None
        await pause(flow, None)
        assert await note(flow) is None


async def test_a_pause_for_another_cause_has_no_reason_of_an_operator(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        await in_transaction(flow.runtime.engine, lambda c: states.pause(c, "fake", "credentials"))
        await pause(flow, "too late")
        assert await note(flow) is None
