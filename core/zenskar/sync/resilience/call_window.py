"""Count calls in a sliding period, so that no period of that length has more than its limit."""

from dataclasses import dataclass, replace

_SLOTS, _LONG_SLOTS = 10, 24
_LONG_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class CallWindow:
    """The calls of a period in slots of equal length, the newest first.

    A call counts for at least `seconds`, and at most a slot longer. `slot` is the number of the
    newest slot since the epoch. Times are in Unix seconds of the database.

    >>> window = CallWindow.of(10.0, 0, ()).at(100.5).add(3)
    >>> window.used, window.at(110.9).used, window.at(111.0).used
    (3, 3, 0)
    """

    seconds: float
    slot: int
    taken: tuple[int, ...]

    @classmethod
    def of(cls, seconds: float, slot: int, taken: tuple[int, ...]) -> "CallWindow":
        """Return the window of stored counts, which may be empty."""
        length = (_LONG_SLOTS if seconds >= _LONG_SECONDS else _SLOTS) + 1
        return cls(seconds, slot, (*taken, *[0] * length)[:length])

    @property
    def slot_seconds(self) -> float:
        """The length of a slot."""
        return self.seconds / (len(self.taken) - 1)

    @property
    def used(self) -> int:
        """The calls that count."""
        return sum(self.taken)

    def at(self, now: float) -> "CallWindow":
        """Return the window at a time; an earlier time changes nothing."""
        slot = int(now // self.slot_seconds)
        passed = min(slot - self.slot, len(self.taken))
        if passed <= 0:
            return self
        return replace(self, slot=slot, taken=((0,) * passed + self.taken)[: len(self.taken)])

    def add(self, calls: int, slot: int | None = None) -> "CallWindow":
        """Count calls in a slot, by default the newest; a negative number returns calls."""
        place = 0 if slot is None else self.slot - slot
        if not 0 <= place < len(self.taken):
            return self
        taken = list(self.taken)
        taken[place] = max(0, taken[place] + calls)
        return replace(self, taken=tuple(taken))

    def slot_left(self, now: float) -> float:
        """Return the seconds until the newest slot ends."""
        return max(0.0, (self.slot + 1) * self.slot_seconds - now)

    def free_in(self, allowed: int, now: float) -> float:
        """Return the seconds until fewer calls than `allowed` count, 0 when they do."""
        length = len(self.taken)
        for passed in range(length):
            if sum(self.taken[: length - passed]) < allowed:
                return max(0.0, (self.slot + passed) * self.slot_seconds - now) if passed else 0.0
        return max(0.0, (self.slot + length) * self.slot_seconds - now)
