"""A time that a person gives."""

from datetime import UTC, datetime

from zenskar.errors import InvalidInput

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


def parse_moment(text: str) -> datetime:
    """Return the time that an ISO 8601 text names, which is UTC without a zone.

    Raises `InvalidInput` for any other text, and for a time before 1970.
    """
    try:
        found = datetime.fromisoformat(text)
        found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput("a time must be as in 2030-01-31T12:00") from None
    if found < _FIRST:
        raise InvalidInput("a time must be after 1970")
    return found
