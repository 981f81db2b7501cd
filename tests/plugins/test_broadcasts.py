"""A broadcast plugin is checked, isolated and bounded; without implementations no call is made."""

import asyncio
import gc
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from importlib_metadata import EntryPoint

import zenskar
from tests.support.wait import until
from zenskar import (
    BaseIntegration,
    ConnectionPaused,
    ConnectionResumed,
    DeadLetterAdded,
    Violation,
    hookimpl,
)
from zenskar.model.notices import Notice
from zenskar.plugins.broadcast_specs import BroadcastSpec
from zenskar.plugins.broadcasts import HOOKS, VALIDATE, Broadcaster
from zenskar.plugins.configuration import configure, unusable_connections
from zenskar.plugins.discovery import GROUP, Plugin, discover
from zenskar.plugins.enricher import ENRICH
from zenskar.settings import load
from zenskar.telemetry.metrics import Metrics

PAUSED = ConnectionPaused("crm", "outage")
DOCUMENT = {"name": "Ada", "address": {"city": "London"}}


def hook(name: str, function: Callable[..., Any]) -> object:
    """Return a broadcast plugin with one hook."""
    plugin = types.SimpleNamespace()
    function.__name__ = name
    setattr(plugin, name, hookimpl(function))
    return plugin


def hanging(release: threading.Event) -> object:
    """Return a broadcast plugin whose hook returns after the release."""

    def wait() -> None:
        release.wait()

    return hook("connection_paused", wait)


class Listener:
    """Keeps the notices that it receives."""

    def __init__(self) -> None:
        self.received: list[object] = []

    @hookimpl
    def connection_paused(self, notice: ConnectionPaused) -> None:
        self.received.append(notice)


class Counted:
    """A broadcaster of these plugins, with its counters."""

    def __init__(
        self, *, seconds: float = 5.0, most_waiting: int = 1000, **plugins: object
    ) -> None:
        self.metrics = Metrics()
        self.broadcaster = Broadcaster(
            plugins, self.metrics, seconds=seconds, most_waiting=most_waiting
        )

    def count(self, plugin: str, result: str, hook_name: str = "connection_paused") -> float:
        labels = {"plugin": plugin, "hook": hook_name, "result": result}
        return self.metrics.registry.get_sample_value("zenskar_broadcasts_total", labels) or 0

    async def until(self, plugin: str, result: str, number: int = 1) -> None:
        async def counted() -> bool:
            return self.count(plugin, result) == number

        await until(counted)


# --- discovery ------------------------------------------------------------------------------


class Rules:
    @hookimpl
    def validate_record(self, document: dict[str, Any]) -> list[Violation]:
        return [] if document.get("phone") else [Violation("/phone", "is required")]


class Misspelt:
    @hookimpl
    def record_change(self) -> None: ...


class WrongArgument:
    @hookimpl
    def record_changed(self, record: object) -> None: ...


class MoreArguments:
    @hookimpl
    def record_changed(self, notice: object, *, more: int) -> None: ...


class Waiting:
    @hookimpl
    async def validate_record(self, document: object) -> None: ...


class Wrapper:
    @hookimpl(wrapper=True)
    def record_changed(self, notice: object) -> Iterator[None]:
        yield


class NoHook:
    def record_changed(self, notice: object) -> None: ...


class Failing:
    def __init__(self) -> None:
        raise RuntimeError("no")

    @hookimpl
    def record_changed(self) -> None: ...


class Both(BaseIntegration):
    @hookimpl
    def record_changed(self, notice: object) -> None: ...


def load_plugin(monkeypatch: pytest.MonkeyPatch, loaded: object, name: str = "rules") -> Plugin:
    module = types.ModuleType("zenskar_test_rules")
    module.Plugin = loaded  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return discover([EntryPoint(name, f"{module.__name__}:Plugin", GROUP)])[name]


def test_the_specification_has_every_hook_that_is_called() -> None:
    names = {name for name in vars(BroadcastSpec) if not name.startswith("_")}
    assert names == {VALIDATE, ENRICH, *HOOKS.values()}


def test_every_notice_is_announced_and_exported() -> None:
    core = Path(zenskar.__file__).parent
    code = "\n".join(path.read_text(encoding="utf-8") for path in core.rglob("*.py"))
    assert {*HOOKS} == {*get_args(Notice)}
    assert [each for each in HOOKS if f"{each.__name__}(" not in code] == []
    assert {each.__name__ for each in HOOKS} <= {*zenskar.__all__}


@pytest.mark.parametrize("loaded", [Rules, Rules()], ids=["class", "object"])
def test_a_plugin_without_a_connection_is_found(
    monkeypatch: pytest.MonkeyPatch, loaded: object
) -> None:
    plugin = load_plugin(monkeypatch, loaded)
    assert (plugin.problem, plugin.kind) == (None, "broadcast")
    assert isinstance(plugin.broadcast, Rules)


def test_a_module_may_hold_the_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("zenskar_test_module")
    module.record_changed = hookimpl(lambda notice: None)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    found = discover([EntryPoint("rules", module.__name__, GROUP)])["rules"]
    assert (found.problem, found.broadcast) == (None, module)


@pytest.mark.parametrize(
    ("loaded", "problem"),
    [
        (Misspelt, "unknown hook 'record_change'"),
        (WrongArgument, "record"),
        (MoreArguments, "`record_changed` has arguments that its hook does not have"),
        (Waiting, "`validate_record` must not be a coroutine function"),
        (Wrapper, "`record_changed` must not be a wrapper"),
        (NoHook, "nothing with a hookimpl"),
        (Failing, "cannot be loaded: RuntimeError('no')"),
        (Both, "must not have a hookimpl, which needs a plugin of its own: record_changed"),
    ],
)
def test_a_wrong_plugin_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, loaded: object, problem: str
) -> None:
    plugin = load_plugin(monkeypatch, loaded)
    assert problem in str(plugin.problem)
    assert "\n" not in str(plugin.problem)
    assert plugin.kind is None


def test_the_name_follows_the_rule_of_all_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "lower-case" in str(load_plugin(monkeypatch, Rules, "My-Rules").problem)


def test_it_has_no_connection() -> None:
    plugins = {"rules": Plugin("rules", "acme", "1", broadcast=Rules())}
    assert configure(plugins, load({}), {}) == {}
    assert unusable_connections(plugins, load({}), {}) == {}
    named = load({}, connections="rules")
    assert configure(plugins, named, {}) == {}
    assert "has no connection" in unusable_connections(plugins, named, {})["rules"]


# --- business rules -------------------------------------------------------------------------


def violations(counted: Counted, before: dict[str, Any] | None = None) -> list[tuple[str, str]]:
    found = counted.broadcaster.violations("customer", DOCUMENT, before, "api")
    return sorted((each.plugin, each.pointer) for each in found)


def test_the_violations_of_all_plugins_are_collected() -> None:
    def late(before: object) -> Iterator[Violation]:
        if before is None:
            yield Violation("/name", "is new")

    counted = Counted(one=Rules(), two=hook(VALIDATE, late))
    assert violations(counted) == [("one", "/phone"), ("two", "/name")]
    assert violations(counted, before={}) == [("one", "/phone")]
    assert counted.count("two", "refused", VALIDATE) == 1
    assert counted.count("two", "ok", VALIDATE) == 1


def raising(document: object) -> None:
    raise ValueError(document)


def leaving(document: object) -> None:
    sys.exit(3)


def cancelling(document: object) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    "function",
    [raising, leaving, cancelling, lambda document: 7, lambda document: ["is wrong"]],
    ids=["raises", "exits", "cancels", "number", "texts"],
)
def test_a_rule_that_fails_refuses_nothing_and_stops_no_other(
    function: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    counted = Counted(bad=hook(VALIDATE, function), good=Rules())
    assert violations(counted) == [("good", "/phone")]
    assert counted.count("bad", "failed", VALIDATE) == 1
    assert "Ada" not in "".join(capsys.readouterr())


def test_a_rule_changes_no_document() -> None:
    def spoil(document: dict[str, Any], before: dict[str, Any]) -> None:
        document["address"].clear()
        before["address"].clear()

    counted = Counted(bad=hook(VALIDATE, spoil))
    before = {"address": {"city": "Paris"}}
    assert violations(counted, before) == []
    assert (DOCUMENT["address"], before["address"]) == ({"city": "London"}, {"city": "Paris"})


def test_the_violations_are_bounded() -> None:
    def many() -> Iterator[Violation]:
        while True:
            yield Violation("/name", "x" * 10_000)

    found = Counted(bad=hook(VALIDATE, many)).broadcaster.violations("customer", {}, None, "api")
    assert (len(found), {len(each.message) for each in found}) == (20, {500})


# --- notices --------------------------------------------------------------------------------


def test_nothing_is_called_without_an_implementation() -> None:
    """No thread is started, and the hot path asks for one attribute."""
    threads = threading.active_count()
    broadcaster = Broadcaster({"rules": Rules()})
    assert not any(map(broadcaster.wants, HOOKS))
    broadcaster.publish(PAUSED)
    assert Broadcaster().validates is False
    assert threading.active_count() == threads


async def test_a_hook_receives_its_own_notices_in_order() -> None:
    listener = Listener()
    counted = Counted(one=listener)
    notices = [ConnectionPaused("crm", str(number)) for number in range(20)]
    for notice in notices:
        counted.broadcaster.publish(notice)
        counted.broadcaster.publish(ConnectionResumed("crm"))
    counted.broadcaster.publish(DeadLetterAdded("crm", "1", None, None))
    await counted.broadcaster.close()
    assert listener.received == notices
    assert counted.count("one", "ok") == len(notices)


async def test_a_coroutine_is_awaited() -> None:
    received: list[object] = []

    async def pause(notice: object) -> None:
        await asyncio.sleep(0)
        received.append(notice)

    counted = Counted(one=hook("connection_paused", pause))
    counted.broadcaster.publish(PAUSED)
    await counted.broadcaster.close()
    assert received == [PAUSED]


async def fail_later() -> None:
    raise ValueError("ada@example.com")


async def leave_later() -> None:
    sys.exit("ada@example.com")


def fail() -> None:
    raise ValueError("ada@example.com")


@pytest.mark.parametrize("function", [fail, fail_later, leave_later, lambda: sys.exit(3)])
async def test_a_failure_is_counted_and_affects_nothing_else(
    function: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    listener = Listener()
    counted = Counted(bad=hook("connection_paused", function), good=listener)
    for _ in range(2):
        counted.broadcaster.publish(PAUSED)
    await counted.until("bad", "failed", 2)
    await counted.broadcaster.close()
    assert listener.received == [PAUSED, PAUSED]
    # asyncio logs the error of a task that nobody has asked for.
    gc.collect()
    assert "ada@example.com" not in "".join([*capsys.readouterr(), caplog.text])


async def test_a_hook_that_hangs_stops_only_its_own_plugin_until_it_returns() -> None:
    release = threading.Event()
    counted = Counted(bad=hanging(release), good=Listener(), seconds=0.5, most_waiting=3)
    try:
        counted.broadcaster.publish(PAUSED)
        await counted.until("bad", "timed_out")
        for number in range(5):
            counted.broadcaster.publish(PAUSED)
            await counted.until("good", "ok", number + 2)
        assert counted.count("bad", "dropped") == 2
    finally:
        release.set()
    await counted.until("bad", "ok", 3)
    await counted.broadcaster.close()
    assert counted.count("bad", "timed_out") == 1


async def test_a_coroutine_that_takes_too_long_is_cancelled() -> None:
    ended = threading.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    counted = Counted(bad=hook("connection_paused", hang), seconds=0.05)
    counted.broadcaster.publish(PAUSED)
    assert await asyncio.to_thread(ended.wait, 20)
    await counted.until("bad", "timed_out")
    await counted.broadcaster.close()
    assert counted.count("bad", "failed") == 0


async def test_the_end_of_the_process_does_not_wait_for_a_hook_that_hangs() -> None:
    release = threading.Event()
    counted = Counted(bad=hanging(release), seconds=0.05)
    try:
        for _ in range(3):
            counted.broadcaster.publish(PAUSED)
        await counted.until("bad", "timed_out")
        await asyncio.wait_for(counted.broadcaster.close(), 20)
        counted.broadcaster.publish(PAUSED)
        assert counted.count("bad", "dropped") == 3
    finally:
        release.set()
