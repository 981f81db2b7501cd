"""How far a partition is worked off: up to the first record that is not done."""

from collections import deque


class OffsetTracker:
    """Records are added in their order and done in any; offsets are those of Kafka."""

    def __init__(self) -> None:
        self._open: deque[int] = deque()
        self._done: set[int] = set()
        self._end: int | None = None
        self._committed: int | None = None

    def add(self, offset: int) -> None:
        """A record was received. What lies before the first one is committed."""
        if self._end is None:
            self._committed = offset
        self._open.append(offset)
        self._end = offset + 1

    def ack(self, offset: int) -> None:
        """A record's work is done."""
        self._done.add(offset)
        while self._open and self._open[0] in self._done:
            self._done.discard(self._open.popleft())

    @property
    def to_commit(self) -> int | None:
        """The offset at which a reader must go on, None while it is the committed one."""
        return None if self._end is None or self.position == self._committed else self.position

    @property
    def position(self) -> int:
        """The first offset that is not done, 0 before there was any."""
        return self._open[0] if self._open else self._end or 0

    def committed(self, offset: int) -> None:
        """The broker knows this offset."""
        self._committed = offset
