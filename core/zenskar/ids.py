"""Time-ordered ids."""

import uuid
from datetime import datetime

from uuid_utils import uuid7


def new_id() -> str:
    """Return a UUIDv7 (RFC 9562, section 5.7): sorts by creation, so inserts stay local."""
    return str(uuid7())


def first_id(at: datetime) -> str:
    """Return the lowest id of a millisecond: ids that were made later are greater."""
    return str(uuid.UUID(int=int(at.timestamp() * 1000) << 80))


def is_id(text: str) -> bool:
    """Return whether a text is a UUID in its canonical form."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def bound(before: datetime) -> str:
    """Return the id above all ids that were created before a moment; ids begin in 1970."""
    digits = f"{max(0, int(before.timestamp() * 1000)):012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-000000000000"
