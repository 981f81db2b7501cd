"""Time-ordered ids."""

import uuid

from uuid_utils import uuid7


def new_id() -> str:
    """Return a UUIDv7 (RFC 9562, section 5.7): sorts by creation, so inserts stay local."""
    return str(uuid7())


def is_id(text: str) -> bool:
    """Return whether a text is a UUID in its canonical form."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
