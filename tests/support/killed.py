"""A worker that dies at a failpoint, and another worker that takes over."""

from tests.simulation.clock import Clock, WrongClock
from tests.simulation.workers import Worker
from tests.support.fake import FakeSystem, fake_class
from tests.support.flow import Flow
from tests.support.wait import until
from zenskar.plugins.discovery import Plugin


async def replaced_when_killed(flow: Flow, system: FakeSystem, point: str) -> None:
    """Work until a worker dies at a failpoint, then let another one finish the work."""
    plugins = {"fake": Plugin("fake", "test-fake", "1", fake_class(system))}
    clock, settings = Clock(), flow.runtime.settings
    first, second = (Worker(settings, {}, plugins, clock, WrongClock(clock)) for _ in range(2))
    await first.start()
    first.kill_at(point)
    await until(first.killed)
    async with flow.runtime.engine.begin() as db:
        await db.exec_driver_sql("UPDATE outbox SET claimed_until = now()")
        await db.exec_driver_sql("UPDATE push_intents SET lease_until = now()")
    await second.start()
    await flow.settle()
    await second.stop()
