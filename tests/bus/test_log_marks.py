"""The offsets of confirmed messages, and a log that went back."""

from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.bus.log_marks import LogMarks
from zenskar.db import log_positions
from zenskar.db.driver.engine import in_transaction
from zenskar.db.log_positions import LogPosition

IN, OUT = ("in", 0), ("out", 3)


async def kept(engine: AsyncEngine) -> dict[tuple[str, int], LogPosition]:
    return await in_transaction(engine, log_positions.read)


async def test_the_ends_of_all_processes_are_kept(engine: AsyncEngine) -> None:
    one, other = LogMarks(), LogMarks()
    one.note(one.begin(), [("in", 0, 4), ("in", 0, 5), ("out", 3, 0)])
    other.note(other.begin(), [("in", 0, 2)])
    await one.save(engine)
    await other.save(engine)
    assert await kept(engine) == {IN: LogPosition(6), OUT: LogPosition(1)}


async def test_a_message_before_older_ones_is_a_loss(engine: AsyncEngine) -> None:
    marks = LogMarks()
    marks.note(marks.begin(), [("in", 0, 40)])
    await marks.save(engine)
    marks.note(marks.begin(), [("in", 0, 3)])
    marks.note(marks.begin(), [("in", 0, 4)])
    await marks.save(engine)
    assert await kept(engine) == {IN: LogPosition(5, went_back=True)}


async def test_confirmations_may_come_in_any_order(engine: AsyncEngine) -> None:
    marks = LogMarks()
    first, second = marks.begin(), marks.begin()
    marks.note(second, [("in", 0, 9)])
    marks.note(first, [("in", 0, 8), ("in", 0, -1)])
    await marks.save(engine)
    assert await kept(engine) == {IN: LogPosition(10)}
