"""The time of a message as a text, RFC 3339 on our clock."""

from datetime import UTC, datetime, timedelta


def utc_now() -> str:
    """Return the time in RFC 3339."""
    return datetime.now(UTC).isoformat()


def waited(made_at: str, now: str) -> int:
    """Return for how many microseconds a message has waited."""
    since = datetime.fromisoformat(now) - datetime.fromisoformat(made_at)
    return max(0, since // timedelta(microseconds=1))
