"""The place of a message: in the outbox, or on a partition of the log."""

import re
from dataclasses import dataclass

from zenskar.errors import InvalidInput

PATTERN = r"(outbox/\d{1,18}|[\w.-]{1,249}/\d{1,9}(/\d{1,18})?)"
"""The text of a place."""
_OUTBOX = "outbox"


@dataclass(frozen=True, slots=True)
class OutboxPlace:
    """A message in the outbox, by its id."""

    id: int

    def __str__(self) -> str:
        return f"{_OUTBOX}/{self.id}"


@dataclass(frozen=True, slots=True)
class LogPlace:
    """A message on a partition of a topic; without an offset the one at the head."""

    topic: str
    partition: int
    offset: int | None = None

    def __str__(self) -> str:
        place = f"{self.topic}/{self.partition}"
        return place if self.offset is None else f"{place}/{self.offset}"


def parse_place(text: str) -> OutboxPlace | LogPlace:
    """Return the place that a text names, such as `outbox/17` or `sync.inbound/3/120`.

    Raises `InvalidInput` for any other text.
    """
    if not re.fullmatch(PATTERN, text, re.ASCII):
        raise InvalidInput("a place is outbox/ID or TOPIC/PARTITION/OFFSET, as `bus list` shows it")
    topic, number, *offset = text.split("/")
    if topic == _OUTBOX:
        return OutboxPlace(int(number))
    return LogPlace(topic, int(number), int(offset[0]) if offset else None)
