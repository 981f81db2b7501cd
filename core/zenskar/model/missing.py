"""What becomes of records whose external objects are missing."""

from enum import StrEnum


class Missing(StrEnum):
    """What an operator wants done about records whose objects are missing there."""

    RECREATE = "recreate"
    """Make another object for each."""
    DELETE = "delete"
    """Delete the records."""
