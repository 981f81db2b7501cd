"""The time at which an external object had a state: an interval on the external clock."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from zenskar.errors import InvalidInput

MICROSECONDS = 1_000_000
_EPOCH = datetime.fromtimestamp(0, UTC)
_ISO = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:[.,](?P<fraction>\d{1,20}))?(?:[Zz]|[+-]\d\d:?\d\d)",
    re.ASCII,
)


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
        _require_number(second)
        return cls(second * MICROSECONDS, (second + 1) * MICROSECONDS - 1)

    @classmethod
    def of_millis(cls, millis: int) -> "Interval":
        """Return the interval that `millis` means on a clock of millisecond precision."""
        _require_number(millis)
        return cls(millis * 1000, millis * 1000 + 999)

    @classmethod
    def of_iso(cls, text: Any) -> "Interval":
        """Return the interval that an ISO 8601 time with an offset means.

        The digits of its fraction give the precision: without a fraction a whole second. Raises
        `InvalidInput` for every other value; a time without an offset could be of any zone.
        """
        match = _ISO.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise InvalidInput("the time is not ISO 8601 with an offset")
        try:
            low = (datetime.fromisoformat(text.upper()) - _EPOCH) // timedelta(microseconds=1)
        except (ValueError, OverflowError):
            raise InvalidInput("the time does not exist") from None
        return cls(low, low + 10 ** max(0, 6 - len(match["fraction"] or "")) - 1)

    def after(self, microseconds: int) -> "Interval":
        """Return the interval moved to later by this many microseconds."""
        return Interval(self.low + microseconds, self.high + microseconds)

    def widened(self, by: int) -> "Interval":
        """Return the interval on a clock that differs by at most this many microseconds."""
        return Interval(self.low - by, self.high + by)


def _require_number(value: Any) -> None:
    """Raise `TypeError` for a text, which multiplication would repeat until no memory is left."""
    if not isinstance(value, (int, float)):
        raise TypeError("the time is no number")


def http_date(header: str | None) -> int | None:
    """Return the Unix second of a `Date` header (RFC 9110), None when the header is not valid."""
    try:
        moment = parsedate_to_datetime(header or "")
        return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
    except (ValueError, OverflowError, OSError):
        return None
