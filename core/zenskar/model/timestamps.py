"""Times as texts in RFC 3339."""

from datetime import UTC, datetime, timedelta


def timestamp(moment: datetime) -> str:
    """Return a time in UTC as the API shows it."""
    return moment.isoformat().replace("+00:00", "Z")


def utc_now() -> str:
    """Return the present time on our clock, for a message."""
    return datetime.now(UTC).isoformat()


def waited(made_at: str, now: str) -> int:
    """Return for how many microseconds a message has waited."""
    since = datetime.fromisoformat(now) - datetime.fromisoformat(made_at)
    return max(0, since // timedelta(microseconds=1))
