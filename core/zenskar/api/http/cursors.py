"""Opaque cursors of lists."""

import base64
import binascii
import uuid

from zenskar.errors import InvalidInput

PATTERN = "^[A-Za-z0-9_-]{22}$"
"""The form of a cursor."""
_NONE = "cursor: this is not a cursor of this list"


def encode(last_id: str | None) -> str | None:
    """Return the cursor of the page after this id; None if there is no further page."""
    if last_id is None:
        return None
    return base64.urlsafe_b64encode(uuid.UUID(last_id).bytes).rstrip(b"=").decode()


def decode(cursor: str | None) -> str | None:
    """Return the id in a cursor. Raises `InvalidInput` for text that `encode` never returns."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor.encode() + b"==", altchars=b"-_", validate=True)
        last_id = str(uuid.UUID(bytes=raw))
    except (ValueError, binascii.Error):
        raise InvalidInput(_NONE) from None
    # The last character has unused bits, so several texts decode to the same id.
    if encode(last_id) != cursor:
        raise InvalidInput(_NONE)
    return last_id
