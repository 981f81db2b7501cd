"""Recognise cursors that repeat, as those of a list or of a feed that never ends."""


class CursorWalk:
    """Follows cursors and remembers one of them: Brent's algorithm finds every cycle.

    The remembered cursor moves at powers of two, so a cycle is found within three times the steps
    that lead into the cycle and once around. https://en.wikipedia.org/wiki/Cycle_detection
    """

    def __init__(self, start: str | None) -> None:
        self._remembered = start
        self._steps, self._most = 0, 1

    def repeats(self, cursor: str) -> bool:
        """Follow a cursor, and return whether the walk was there before."""
        if cursor == self._remembered:
            return True
        self._steps += 1
        if self._steps == self._most:
            self._remembered = cursor
            self._steps, self._most = 0, 2 * self._most
        return False
