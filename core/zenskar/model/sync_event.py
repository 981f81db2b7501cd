"""The direction and the status of a sync event."""

from enum import StrEnum

NO_SOURCE = "unreadable"
"""The source system of an unreadable message; no connection can have this name."""


class Direction(StrEnum):
    """The direction of a change: outbound leaves the catalog, inbound enters it."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


class SyncStatus(StrEnum):
    """The status of a sync event."""

    PENDING = "pending"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    IGNORED = "ignored"
    RETRYING = "retrying"
    DEAD = "dead"

    @property
    def final(self) -> bool:
        """Whether the event is finished: no worker changes it automatically."""
        return self in {SyncStatus.SUCCEEDED, SyncStatus.IGNORED, SyncStatus.DEAD}
