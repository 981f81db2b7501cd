"""Time-ordered ids."""

import os
import time
import uuid


def new_id() -> str:
    """Return a UUIDv7 (RFC 9562, section 5.7): sorts by creation, so inserts stay local."""
    time_part = f"{time.time_ns() // 1_000_000:012x}"
    random = os.urandom(10)
    digits, variant = random.hex(), "89ab"[random[-1] & 0b11]
    return f"{time_part[:8]}-{time_part[8:]}-7{digits[:3]}-{variant}{digits[3:6]}-{digits[6:18]}"


def is_id(text: str) -> bool:
    """Tell whether this is a UUID in its canonical form."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
