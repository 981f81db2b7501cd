"""The position of a partition: the offset of its first unprocessed record."""

from collections import deque


class OffsetTracker:
    """Tracks the records of a partition, added in order and acknowledged in any order."""

    def __init__(self) -> None:
        self._open: deque[int] = deque()
        self._done: set[int] = set()
        self._end: int | None = None
        self._committed: int | None = None

    def add(self, offset: int) -> None:
        """Add a received record. The records before the first one are committed."""
        if self._end is None:
            self._committed = offset
        self._open.append(offset)
        self._end = offset + 1

    def ack(self, offset: int) -> None:
        """Acknowledge a record."""
        self._done.add(offset)
        while self._open and self._open[0] in self._done:
            self._done.discard(self._open.popleft())

    @property
    def to_commit(self) -> int | None:
        """The offset to commit, None while it is the committed one."""
        return None if self._end is None or self.position == self._committed else self.position

    @property
    def position(self) -> int:
        """The first unacknowledged offset, 0 before the first record."""
        return self._open[0] if self._open else self._end or 0

    def committed(self, offset: int) -> None:
        """Store the offset that the broker has committed."""
        self._committed = offset
