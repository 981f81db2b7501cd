"""The time at which an external object had a state: an interval on the external clock."""

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """An interval with inclusive ends, in microseconds since the Unix epoch.

    Raises `ValueError` when it would end before it starts.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"interval ends before it starts: {self.low} > {self.high}")

    @classmethod
    def of_second(cls, second: int) -> "Interval":
        """Return the interval that `second` means on a clock of second precision."""
        return cls(second * MICROSECONDS, (second + 1) * MICROSECONDS - 1)

    def after(self, microseconds: int) -> "Interval":
        """Return the interval moved to later by this many microseconds."""
        return Interval(self.low + microseconds, self.high + microseconds)

    def widened(self, by: int) -> "Interval":
        """Return the interval on a clock that differs by at most this many microseconds."""
        return Interval(self.low - by, self.high + by)


def http_date(header: str | None) -> int | None:
    """Return the Unix second of a `Date` header (RFC 9110), None when the header is not valid."""
    try:
        moment = parsedate_to_datetime(header or "")
        return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
    except (ValueError, OverflowError, OSError):
        return None
