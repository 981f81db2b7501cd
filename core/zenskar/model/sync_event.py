"""One sync operation and where it stands."""

from enum import StrEnum

NO_SOURCE = "unreadable"
"""Stands where a source system would, on what cannot be read; no connection is called so."""


class Direction(StrEnum):
    """Outbound leaves the catalog, inbound enters it."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


class SyncStatus(StrEnum):
    """Status of a sync event."""

    PENDING = "pending"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    IGNORED = "ignored"
    RETRYING = "retrying"
    DEAD = "dead"

    @property
    def final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in {SyncStatus.SUCCEEDED, SyncStatus.IGNORED, SyncStatus.DEAD}
