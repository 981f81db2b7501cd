"""What an outbound message asks for, and what its processing says back."""

from dataclasses import dataclass
from datetime import datetime

from zenskar.model.envelope import Envelope
from zenskar.sync.dead_letters import Message


@dataclass(frozen=True, slots=True)
class Task:
    """Make one connection equal to one record. `changed_at` is in Unix seconds.

    `message` is what asked for it.
    """

    event_id: str
    source: str
    entity_type: str
    record_id: str
    correlation_id: str
    changed_at: float
    message: Message

    @classmethod
    def of(cls, envelope: Envelope, message: Message) -> "Task":
        """Read a valid outbound envelope."""
        data = envelope.data
        return cls(
            event_id=envelope.id,
            source=data["source_system"],
            entity_type=data["entity_type"],
            record_id=data["entity_id"],
            correlation_id=envelope.correlation_id,
            changed_at=datetime.fromisoformat(envelope.time).timestamp(),
            message=message,
        )


@dataclass(frozen=True, slots=True)
class Done:
    """The message is worked off."""


@dataclass(frozen=True, slots=True)
class Parked:
    """The message is to be delivered again when its connection works."""


@dataclass(frozen=True, slots=True)
class Later:
    """The message is to be delivered again after a while."""

    seconds: float


Result = Done | Later | Parked
"""What the processing of a message says."""
