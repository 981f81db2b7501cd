"""When a consumer is in trouble."""

import pytest

from zenskar.errors import Unavailable
from zenskar.model.envelope import INBOUND
from zenskar.telemetry.metrics import Metrics
from zenskar.worker import progress
from zenskar.worker.progress import Progress


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_some_failures_within_a_minute_are_trouble_and_it_passes(clock: Clock) -> None:
    seen = Progress(Metrics(), clock=clock)
    for _ in range(2):
        seen.failed("inbound", KeyError())
    assert seen.problems() == []
    seen.failed("inbound", KeyError())
    assert seen.problems() == ["inbound fails again and again (KeyError)"]
    clock.now += 61
    assert seen.problems() == []


def test_what_is_away_is_no_trouble_of_the_consumer(clock: Clock) -> None:
    seen = Progress(Metrics(), clock=clock)
    for _ in range(9):
        seen.failed("inbound", Unavailable("away"))
    assert seen.problems() == []


def test_a_consumer_that_does_nothing_of_what_waits_is_in_trouble(clock: Clock) -> None:
    lag: dict[str, int] = {}
    metrics = Metrics()
    seen = Progress(metrics, lambda: lag, clock)
    seen.consumes("inbound", INBOUND)
    clock.now += 1000
    assert seen.problems() == []
    lag[INBOUND] = 5
    clock.now += 119
    assert seen.problems() == []
    clock.now += 1
    assert seen.problems() == ["inbound has done nothing for 120 s, while 5 messages wait"]
    shown = {"consumer": "inbound"}
    assert metrics.registry.get_sample_value("zenskar_consumer_stalled_seconds", shown) == 120
    with seen.working("inbound"):
        pass
    assert seen.problems() == []


def test_work_that_never_ends_is_trouble_while_other_work_ends(clock: Clock) -> None:
    seen = Progress(Metrics(), clock=clock)
    with seen.working("outbound"):
        clock.now += progress._HUNG_SECONDS
        with seen.working("outbound"):
            pass
        assert seen.problems() == ["outbound has been at the same work for 900 s"]
    assert seen.problems() == []
