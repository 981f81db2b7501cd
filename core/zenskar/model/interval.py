"""When an external object had a state, on the external clock: never an instant."""

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """Both ends inclusive, in microseconds since the Unix epoch."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"interval ends before it starts: {self.low} > {self.high}")

    @classmethod
    def of_second(cls, second: int) -> "Interval":
        """The interval that a clock of second precision means by `second`."""
        return cls(second * MICROSECONDS, (second + 1) * MICROSECONDS - 1)

    def after(self, microseconds: int) -> "Interval":
        """Return the interval that lies so much later."""
        return Interval(self.low + microseconds, self.high + microseconds)

    def widened(self, by: int) -> "Interval":
        """Return what this may mean on a clock that is so many microseconds away at most."""
        return Interval(self.low - by, self.high + by)


def http_date(header: str | None) -> int | None:
    """Return the Unix second that a `Date` header (RFC 9110) tells, None when it tells none."""
    try:
        told = parsedate_to_datetime(header or "")
        return int(told.replace(tzinfo=told.tzinfo or UTC).timestamp())
    except (ValueError, OverflowError, OSError):
        return None
