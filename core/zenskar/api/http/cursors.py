"""Opaque cursors of lists."""

import base64
import binascii
import uuid

from zenskar.errors import InvalidInput

PATTERN = "^[A-Za-z0-9_-]{22}$"
"""What a cursor looks like."""
_NONE = "cursor: this is not a cursor of this list"


def encode(last_id: str | None) -> str | None:
    """Return the cursor that goes on after this id; None when nothing follows."""
    if last_id is None:
        return None
    return base64.urlsafe_b64encode(uuid.UUID(last_id).bytes).rstrip(b"=").decode()


def decode(cursor: str | None) -> str | None:
    """Return the id that a cursor stands for."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor.encode() + b"==", altchars=b"-_", validate=True)
        last_id = str(uuid.UUID(bytes=raw))
    except (ValueError, binascii.Error):
        raise InvalidInput(_NONE) from None
    # The last character has bits to spare, so several texts mean one id.
    if encode(last_id) != cursor:
        raise InvalidInput(_NONE)
    return last_id
