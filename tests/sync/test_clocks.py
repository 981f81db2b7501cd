"""Answers are dated on the external clock, and show its offset to ours."""

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from zenskar.db import connections
from zenskar.db.driver.engine import in_transaction
from zenskar.model.interval import MICROSECONDS, Interval
from zenskar.plugins.invoker import Timing
from zenskar.sync.clocks import Clocks
from zenskar.telemetry.metrics import Metrics

TOLERANCE = 2 * MICROSECONDS


class Reader:
    """A process whose clock is some seconds off, and which an external system answers."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.metrics = Metrics()
        self.clocks = Clocks({"fake": timedelta(seconds=2)}, self.metrics)
        self.ahead = ahead

    def asks(self, at: float, took: float = 0.1, *, told: bool = True) -> Interval:
        """Return how an answer is dated that comes at this right time after so long."""
        sent = at - took + self.ahead
        timing = Timing.of(sent, at + self.ahead, at - took, at)
        return self.clocks.date("fake", timing, int(at) if told else None)

    def offset(self, at: float) -> Interval | None:
        return self.clocks.offset("fake", at)

    def shown(self) -> float | None:
        return self.metrics.registry.get_sample_value(
            "zenskar_clock_offset_seconds", {"source": "fake"}
        )


@pytest.mark.parametrize("ahead", [0, 5, -60, 4000])
def test_an_answer_is_dated_on_the_clock_that_it_tells(ahead: float) -> None:
    dated = Reader(ahead).asks(1000.25, took=0.5)
    assert dated == Interval(999_500_000 - TOLERANCE, 1_000_999_999 + TOLERANCE)


def test_an_answer_without_a_time_is_dated_on_our_clock() -> None:
    dated = Reader(60).asks(1000.25, took=0.5, told=False)
    assert dated == Interval(1_059_750_000 - TOLERANCE, 1_060_250_000 + TOLERANCE)


@pytest.mark.parametrize("told", [-1, 10**18, 253_402_300_800])
def test_a_time_that_no_clock_shows_is_none(told: int) -> None:
    timing = Timing.of(1000.0, 1000.5, 0.0, 0.5)
    dated = Reader().clocks.date("fake", timing, told)
    assert dated == Interval(1_000_000_000 - TOLERANCE, 1_000_500_000 + TOLERANCE)


@pytest.mark.parametrize("step", [-100.0, 100.0])
def test_a_call_during_which_our_clock_is_set_is_dated_by_how_long_it_took(step: float) -> None:
    timing = Timing.of(1000.0, 1000.5 + step, 0.0, 0.5)
    clocks = Reader().clocks
    told = clocks.date("fake", timing, 1000)
    assert told == Interval(999_500_000 - TOLERANCE, 1_000_999_999 + TOLERANCE)
    untold = clocks.date("fake", timing, None)
    assert untold.low <= 1_000_000_000 - TOLERANCE
    assert untold.high >= 1_000_500_000 + TOLERANCE


def test_answers_narrow_the_offset_down() -> None:
    reader = Reader(ahead=60)
    assert reader.offset(0) is None
    for at in (1000.25, 1001.02, 1002.98):
        reader.asks(at)
    offset = reader.offset(1002.98)
    assert offset is not None
    assert offset.low <= -60 * MICROSECONDS <= offset.high
    assert offset.high - offset.low < 300_000
    assert reader.shown() == pytest.approx(-60, abs=0.3)


def test_an_offset_is_less_certain_the_older_it_is() -> None:
    reader = Reader()
    reader.asks(1000.5)
    new, old = reader.offset(1000.5), reader.offset(4600.5)
    assert new is not None
    assert old == new.widened(360_000)


@pytest.mark.parametrize("ahead", [60, -60])
def test_a_clock_that_is_set_is_noticed_at_the_next_answer(ahead: float) -> None:
    reader = Reader()
    with capture_logs() as lines:
        reader.asks(1000.5)
        reader.ahead = ahead
        reader.asks(1001.5)
        reader.asks(1002.5)
    told = [line["seconds"] for line in lines if line["event"] == "clock_differs"]
    assert told == [pytest.approx(-ahead, abs=1)]
    assert reader.shown() == pytest.approx(-ahead, abs=1)


def test_clocks_that_differ_are_told_once() -> None:
    reader = Reader(ahead=-5)
    with capture_logs() as lines:
        for at in range(1000, 1010):
            reader.asks(at + 0.5)
    assert [line["event"] for line in lines] == ["clock_differs"]


async def test_an_offset_is_kept_for_other_processes(engine: AsyncEngine) -> None:
    reader = Reader(ahead=60)

    async def saved(at: float) -> Interval | None:
        await in_transaction(engine, lambda c: reader.clocks.save(c, at))
        return (await in_transaction(engine, connections.clocks)).get("fake")

    assert await saved(999.0) is None
    reader.asks(1000.5)
    first = await saved(1000.5)
    assert first == reader.offset(1000.5)
    reader.asks(1001.02)
    assert await saved(1001.02) == first
    assert await saved(1061.0) == reader.offset(1061.0)
    reader.ahead = 0
    reader.asks(1062.5)
    assert await saved(1062.5) == reader.offset(1062.5)
