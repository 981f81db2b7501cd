"""A plugin that adds members to pushes is isolated and bounded in time."""

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.plugins.test_broadcasts import Counted, hook
from tests.support.wait import until
from zenskar.plugins.broadcasts import EnrichedBody
from zenskar.plugins.enricher import ENRICH, with_members

BODY = {"name": "Ada", "custom": {"plan": "pro", "empty": None}}
ABOUT = {"entity_type": "customer", "record_id": "r", "source": "crm", "kind": "create"}


async def enriched(counted: Counted, seconds: float = 60.0) -> Any:
    return (await ask(counted, seconds)).body


async def ask(counted: Counted, seconds: float = 60.0) -> EnrichedBody:
    return await counted.broadcaster.enriched(BODY, seconds=seconds, patch={}, **ABOUT)


def adding(value: Any) -> object:
    return hook(ENRICH, lambda: value)


async def test_members_are_added_at_every_level_and_none_is_changed() -> None:
    added = {"name": "Eve", "origin": "zenskar", "custom": {"plan": "free", "tier": 1, "empty": 1}}
    later = {"origin": "other", "custom": "text", "more": [1]}
    counted = Counted(one=adding(added), two=adding(later), three=adding(None))
    assert await enriched(counted) == {
        "name": "Ada",
        "custom": {"plan": "pro", "empty": None, "tier": 1},
        "origin": "zenskar",
        "more": [1],
    }
    assert (await ask(counted)).added == {"one": ["/custom/tier", "/origin"], "two": ["/more"]}
    assert BODY == {"name": "Ada", "custom": {"plan": "pro", "empty": None}}
    assert {counted.count(each, "ok", ENRICH) for each in ("one", "two", "three")} == {2}


def test_a_nested_member_never_replaces_a_value() -> None:
    assert with_members({"a": 1, "b": {}}, {"a": {"x": 1}, "b": {"x": {}}}) == {
        "a": 1,
        "b": {"x": {}},
    }


async def test_a_coroutine_may_wait_and_gets_copies() -> None:
    async def spoil(body: dict[str, Any], patch: dict[str, Any], source: str) -> dict[str, str]:
        body["custom"].clear()
        patch["spoilt"] = True
        await asyncio.sleep(0)
        return {"origin": source}

    counted = Counted(one=hook(ENRICH, spoil))
    assert await enriched(counted) == {**BODY, "origin": "crm"}
    await counted.broadcaster.close()


def raising(body: object) -> None:
    raise ValueError(body)


def cancelled() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    "function",
    [
        raising,
        cancelled,
        lambda: sys.exit(3),
        lambda: 7,
        lambda: {"a": object()},
        lambda: {"a": 1e999},
    ],
    ids=["raises", "cancels", "exits", "number", "no JSON", "infinite"],
)
async def test_a_plugin_that_fails_adds_nothing_and_stops_no_other(
    function: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    counted = Counted(bad=hook(ENRICH, function), good=adding({"origin": "zenskar"}))
    for number in (1, 2):
        assert await enriched(counted) == {**BODY, "origin": "zenskar"}
        assert counted.count("bad", "failed", ENRICH) == number
    assert "Ada" not in "".join(capsys.readouterr())


async def test_a_late_coroutine_is_cancelled_and_asked_again() -> None:
    ended = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    counted = Counted(late=hook(ENRICH, wait), good=adding({"origin": "zenskar"}))
    assert await enriched(counted, seconds=0.3) == {**BODY, "origin": "zenskar"}
    await asyncio.to_thread(ended.wait)

    async def asked_again() -> bool:
        await enriched(counted, seconds=0.01)
        return counted.count("late", "timed_out", ENRICH) >= 2

    await until(asked_again)


async def test_a_function_that_hangs_delays_one_push_and_no_other() -> None:
    release, asked = threading.Event(), []

    def wait() -> dict[str, str]:
        asked.append(release.wait())
        return {"origin": "late"}

    counted = Counted(hangs=hook(ENRICH, wait))
    try:
        assert await enriched(counted, seconds=0.01) == BODY
        for _ in range(3):
            assert await enriched(counted) == BODY
        assert counted.count("hangs", "timed_out", ENRICH) == 1
        assert counted.count("hangs", "dropped", ENRICH) == 3
    finally:
        release.set()

    async def answers() -> bool:
        return await enriched(counted) == {**BODY, "origin": "late"}

    await until(answers)
    assert len(asked) == 2
    await counted.broadcaster.close()
    assert await enriched(counted, seconds=0.5) in (BODY, {**BODY, "origin": "late"})


async def test_without_an_implementation_nothing_is_started() -> None:
    before = threading.active_count()
    counted = Counted()
    assert not counted.broadcaster.enriches
    assert await enriched(counted) is BODY
    assert threading.active_count() == before
