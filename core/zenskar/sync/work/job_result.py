"""The results of processing a message: what its delivery needs next."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ack:
    """The message is processed."""


@dataclass(frozen=True, slots=True)
class Acked:
    """The message is processed, and was acknowledged in the transaction that ended its job."""


@dataclass(frozen=True, slots=True)
class Park:
    """Deliver the message again when its connection works."""


@dataclass(frozen=True, slots=True)
class Nack:
    """Deliver the message again after these seconds."""

    seconds: float


JobResult = Ack | Acked | Nack | Park
"""The result of processing a message."""
