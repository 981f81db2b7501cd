"""An offset is committed only when all offsets before it are acknowledged."""

from hypothesis import given
from hypothesis import strategies as st

from zenskar.bus.kafka.offset_tracker import OffsetTracker


def received(*offsets: int) -> OffsetTracker:
    mark = OffsetTracker()
    for offset in offsets:
        mark.add(offset)
    return mark


def test_nothing_is_committed_before_the_first_record_is_acknowledged() -> None:
    mark = received(5, 6)
    assert mark.to_commit is None
    mark.ack(6)
    assert mark.to_commit is None
    mark.ack(5)
    assert mark.to_commit == 7


def test_a_gap_in_the_offsets_blocks_nothing() -> None:
    mark = received(5, 9)
    mark.ack(5)
    assert mark.to_commit == 9


def test_a_committed_offset_is_not_committed_again() -> None:
    mark = received(1)
    mark.ack(1)
    mark.committed(2)
    assert mark.to_commit is None


@given(st.permutations(range(8)))
def test_the_first_unacknowledged_offset_is_committed(order: list[int]) -> None:
    mark, done = received(*range(8)), set()
    for offset in order:
        mark.ack(offset)
        done.add(offset)
        expected = next((n for n in range(8) if n not in done), 8)
        assert mark.to_commit == (expected or None)
