"""Anything that shows an external object's state."""

from dataclasses import dataclass
from enum import StrEnum

from zenskar.model.fields import Fields
from zenskar.model.interval import Interval


class ObservationKind(StrEnum):
    """Where an observation comes from."""

    WEBHOOK = "webhook"
    ANSWER = "answer"
    FETCH = "fetch"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at one external object.

    `fields` is None when the object was seen deleted. `unseen` names the top-level fields of
    which the look tells nothing. `record_id` is the id that we stored on the object. `origin_key`
    is the idempotency key of the call that caused what is seen, and `changed` points to the fields
    that this call changed, "" to all: then no key means that no call of ours did. None says that
    the origin is not told.
    `seen_revision` is the mapping's revision when the call that shows this was sent (None for
    news that nobody asked for). `sent` is when this was sent, on the external clock too,
    which may have been set meanwhile (None when that is not known). `intent_id` names the push
    that this answers; `replayed` says that the external system served the answer from its
    idempotency cache.
    """

    kind: ObservationKind
    external_id: str
    asof: Interval
    fields: Fields | None
    record_id: str | None = None
    origin_key: str | None = None
    changed: tuple[str, ...] | None = None
    seen_revision: int | None = None
    intent_id: str | None = None
    replayed: bool = False
    unseen: frozenset[str] = frozenset()
    sent: Interval | None = None

    @property
    def deleted(self) -> bool:
        """Whether the object was seen deleted."""
        return self.fields is None

    def tells_origin_of(self, path: str) -> bool:
        """Whether it says who changed this field."""
        return self.changed is not None and any(
            path == pointer or path.startswith(f"{pointer}/") for pointer in self.changed
        )

    @property
    def answers(self) -> tuple[str, ...]:
        """The push that this answers, if any."""
        return () if self.intent_id is None else (self.intent_id,)
