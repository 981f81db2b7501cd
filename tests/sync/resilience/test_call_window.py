"""The count of calls in a sliding period."""

from hypothesis import given, settings
from hypothesis import strategies as st

from zenskar.sync.resilience.call_window import CallWindow

pauses = st.lists(st.floats(0, 4), max_size=60)


@given(pauses, st.integers(1, 5), st.sampled_from([1.0, 10.0, 3600.0]))
@settings(max_examples=60)
def test_no_period_has_more_calls_than_allowed(
    pauses: list[float], allowed: int, seconds: float
) -> None:
    now, made, window = 1_800_000_000.0, list[float](), CallWindow.of(seconds, 0, ())
    for pause in pauses:
        now += pause * seconds / 8
        window = window.at(now)
        if window.used < allowed:
            window = window.add(1)
            made.append(now)
    for begin in made:
        assert sum(begin <= each < begin + seconds for each in made) <= allowed


@given(pauses, st.integers(1, 3), st.sampled_from([1.0, 3600.0]))
@settings(max_examples=60)
def test_a_wait_is_long_enough_and_no_longer(
    pauses: list[float], allowed: int, seconds: float
) -> None:
    now, window = 1_800_000_000.0, CallWindow.of(seconds, 0, ())
    for pause in pauses:
        now += pause * seconds / 8
        window = window.at(now).add(1)
    left = window.free_in(allowed, now)
    assert window.at(now + left + 1e-4).used < allowed
    assert not left or window.at(now + left - 1e-3).used >= allowed


def test_calls_are_returned_to_their_slot_while_it_counts() -> None:
    window = CallWindow.of(10.0, 0, ()).at(100.0).add(5)
    later = window.at(103.0).add(-3, window.slot)
    assert later.used == 2
    assert later.at(111.0).used == 0
    assert later.at(200.0).add(-3, window.slot).used == 0


def test_a_clock_that_was_set_back_frees_nothing() -> None:
    window = CallWindow.of(10.0, 0, ()).at(100.0).add(5)
    assert window.at(50.0) == window
