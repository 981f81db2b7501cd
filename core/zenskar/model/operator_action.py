"""The kinds and the states of the actions of operators."""

from enum import StrEnum


class ActionKind(StrEnum):
    """The kinds of actions of operators."""

    PAUSE = "pause"
    """Pause a connection."""
    RESUME = "resume"
    """Resume a connection, and apply the deletes that its guard holds."""
    DROP_DELETES = "drop_deletes"
    """Drop the held deletes that an external system does not confirm."""
    UNDELETE = "undelete"
    """Restore a deleted record."""
    LINK = "link"
    """Link an object with a record."""
    RETRY = "retry"
    """Retry sync events."""
    DISCARD = "discard"
    """Discard dead letters."""
    REVEAL = "reveal"
    """Read the personal data of a sync event."""
    ERASE = "erase"
    """Erase a customer."""
    REPAIR = "repair"
    """Compare a connection, and repair the differences."""
    BACKFILL = "backfill"
    """Import all objects of a connection."""
    APPLY_REPAIR = "apply_repair"
    """Apply the plan of a repair."""
    APPLY_JOIN = "apply_join"
    """Apply the plan of a join."""
    REPEAT_DELETES = "repeat_deletes"
    """Delete the records that a restored backup has brought back."""
    CREATE_KEY = "create_key"
    """Create an API key."""
    REVOKE_KEY = "revoke_key"
    """Revoke an API key."""


class ActionState(StrEnum):
    """The states of an action."""

    BEGUN = "begun"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"
