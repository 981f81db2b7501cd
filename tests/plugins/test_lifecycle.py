"""An integration that does not start turns off its own connection, and is tried again."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.fake import FakeSystem, fake_class
from tests.support.flow import open_flow
from tests.support.wait import until
from zenskar import BaseIntegration, Connection
from zenskar.errors import CallFailed, ConfigurationError, Unavailable
from zenskar.plugins import lifecycle
from zenskar.plugins.configuration import ConfiguredConnection, configure
from zenskar.plugins.discovery import Plugin
from zenskar.plugins.lifecycle import Lifecycle
from zenskar.plugins.router import PluginRouter
from zenskar.settings import load


def leave(*_: Any) -> None:
    sys.exit("the plugin has had enough")


def fail(*_: Any) -> None:
    raise ZeroDivisionError


def refuse(*_: Any) -> None:
    raise ConfigurationError("set DASH_REGION")


def refuse_twice(*_: Any) -> None:
    raise ConfigurationError("set DASH_REGION\n\x1b or wait")


def ending(how: Callable[[], None]) -> Callable[..., Any]:
    async def open_badly(_self: BaseIntegration) -> None:
        how()

    return open_badly


async def hang(_self: BaseIntegration) -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()


async def cancelled(_self: BaseIntegration) -> None:
    lost = asyncio.create_task(asyncio.sleep(60))
    lost.cancel()
    await lost


BAD = {
    "exits in __init__": (
        {"__init__": leave},
        "`__init__` failed: SystemExit at test_lifecycle.py",
    ),
    "raises in __init__": ({"__init__": fail}, "`__init__` failed: ZeroDivisionError at"),
    "exits in open": ({"open": ending(leave)}, "`open` failed: SystemExit"),
    "raises in open": ({"open": ending(fail)}, "`open` failed: ZeroDivisionError"),
    "says why": ({"open": ending(refuse)}, "set DASH_REGION"),
    "says why in two lines": ({"open": ending(refuse_twice)}, "set DASH_REGION or wait"),
    "waits for a cancelled task": ({"open": cancelled}, "`open` failed: CancelledError"),
    "hangs in open": ({"open": hang}, "`open` has not ended within"),
}


@pytest.fixture(autouse=True)
def no_long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "OPEN_SECONDS", 0.05)
    monkeypatch.setattr(lifecycle, "_REOPEN_SECONDS", 0.05)


class Sleeps:
    """Sleeps that end when the test says so."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._ends: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await self._ends.get()

    def end(self) -> None:
        self._ends.put_nowait(None)


def holds(condition: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return condition()

    return look


def connections(**kinds: type[BaseIntegration]) -> dict[str, ConfiguredConnection]:
    plugins = {name: Plugin(name, f"test-{name}", "1", kind) for name, kind in kinds.items()}
    return configure(plugins, load({}), {})


def integrations(known: dict[str, ConfiguredConnection]) -> dict[str, BaseIntegration]:
    return {name: connection.integration for name, connection in known.items()}


@pytest.mark.parametrize("bad", BAD)
async def test_only_its_own_connection_is_off(bad: str) -> None:
    methods, told = BAD[bad]
    known = connections(dash=type("Dash", (BaseIntegration,), methods), good=BaseIntegration)
    router = PluginRouter(integrations(known))
    opened = Lifecycle(router, known, sleep=Sleeps())
    await opened.open()
    assert set(router.off) == {"dash"}
    assert told in router.off["dash"]
    with pytest.raises(Unavailable, match="connection dash is off"):
        router.call("dash", "verify_webhook", request=None)
    with pytest.raises(CallFailed, match="connection dash is off"):
        await router.call_async("dash", "health")
    assert (await router.call_async("good", "health")).ok
    await opened.close()


async def test_it_is_tried_again_until_it_works() -> None:
    broken, made = True, []

    class Dash(BaseIntegration):
        def __init__(self, connection: Connection) -> None:
            if broken:
                raise ZeroDivisionError
            super().__init__(connection)
            made.append(self)

        async def open(self) -> None:
            if len(made) == 1:
                raise ConfigurationError("not yet")

    known, sleeps = connections(dash=Dash), Sleeps()
    router = PluginRouter(integrations(known))
    opened = Lifecycle(router, known, sleep=sleeps)
    await opened.open()
    sleeps.end()
    await until(holds(lambda: len(sleeps.seconds) == 2))
    broken = False
    sleeps.end()
    await until(holds(lambda: router.off["dash"] == "not yet"))
    sleeps.end()
    await until(holds(lambda: not router.off))
    assert sleeps.seconds == [5.0, 10.0, 20.0]
    assert router.owner("dash") is made[1] is known["dash"].integration
    assert (await router.call_async("dash", "health")).ok
    await opened.close()


async def test_a_close_that_hangs_or_exits_holds_nobody_up() -> None:
    closed = []

    class Good(BaseIntegration):
        async def close(self) -> None:
            closed.append(self)

    known = connections(
        hanging=type("Hanging", (BaseIntegration,), {"close": hang}),
        leaving=type("Leaving", (BaseIntegration,), {"close": ending(leave)}),
        good=Good,
    )
    opened = Lifecycle(PluginRouter(integrations(known)), known, sleep=Sleeps())
    await opened.open()
    await opened.close()
    assert len(closed) == 1


async def test_work_of_a_connection_that_is_off_waits(database_url: str) -> None:
    system = FakeSystem()

    class Dash(fake_class(system)):  # type: ignore[misc]
        ready = False

        async def open(self) -> None:
            if not Dash.ready:
                raise ConfigurationError("not yet")

    system.create(name="Grace")
    extra = {"dash": Plugin("dash", "test-dash", "1", Dash)}
    async with open_flow(database_url, extra=extra) as flow:
        assert flow.runtime.router.off == {"dash": "not yet"}
        await flow.create(name="Ada")
        await until(
            lambda: flow.scalar(
                "SELECT count(*) = 1 FROM sync_events WHERE status = 'succeeded'"
                " AND source_system = 'fake'"
            )
        )
        with pytest.raises(Unavailable, match="off"):
            await flow.runtime.ingress.accept("dash", system.webhooks[0], "test")
        found = (await flow.runtime.services().health.ready()).to_json()["checks"]["connections"]
        assert (found["status"], found["detail"]) == ("degraded", "off: dash")
        assert found["parts"]["dash"] == {"status": "degraded", "detail": "off: not yet"}
        assert found["parts"]["fake"] == {"status": "ok", "detail": ""}
        assert not system.calls
        Dash.ready = True
        flow.runtime.router.turn_on("dash", flow.runtime.connections["dash"].integration)
        await flow.settle()
    assert len(system.calls) == 1
