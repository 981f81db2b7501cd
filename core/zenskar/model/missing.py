"""The repairs of records whose external objects are missing."""

from enum import StrEnum


class Missing(StrEnum):
    """An operator's choice for records whose external objects are missing."""

    RECREATE = "recreate"
    """Create a new object for each record."""
    DELETE = "delete"
    """Delete the records."""
