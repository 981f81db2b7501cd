"""Observations: the states of external objects that calls and webhooks show."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from zenskar.model.fields import Fields, is_unseen
from zenskar.model.interval import Interval


class ObservationKind(StrEnum):
    """The source of an observation."""

    WEBHOOK = "webhook"
    ANSWER = "answer"
    FETCH = "fetch"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Observation:
    """The state of an external object, as a webhook, an answer, a fetch or a list shows it.

    `fields` is None when the object was seen deleted. `unseen` names the top-level fields, and
    points to the leaves, that the observation does not show; it shows the leaves `apart`
    nevertheless. `record_id` is the id that we stored on the object.
    `origin_key` is the idempotency key of the call that caused this state. `changed` points to the
    fields that this call changed, "" to all. With `changed` and without a key, no call of ours
    caused the state; with `changed` None, the origin is unknown.
    `seen_revision` is the mapping's revision when the call that shows the state was sent (None for
    an observation that no call requested). `sent` is the time of sending on the external clock,
    which may have been set in between (None when unknown). `intent_id` names the push that this
    observation answers; `replayed` says that the external system served the answer from its
    idempotency cache. `changed_at` is the time of the object's last change on the external clock
    (None when unknown). `version` is the external system's own name of the state (None when it has
    none, or does not show it). `memo` is the integration's note on the object (None when it makes
    none here). `blank` says that the external system made the call and does not show the object.
    `merged_into` is the object into which this object was merged; `fields` is None then.
    `purged` says that the external system demands to forget a deleted object. `foreign` says that
    no push of the record made the object, since the object refused its create.
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
    changed_at: Interval | None = None
    version: str | None = None
    memo: Mapping[str, Any] | None = None
    blank: bool = False
    apart: frozenset[str] = frozenset()
    merged_into: str | None = None
    purged: bool = False
    foreign: bool = False

    @property
    def deleted(self) -> bool:
        """Whether the object was seen deleted, or merged into another object."""
        return self.fields is None

    def hidden(self, fields: Fields) -> Fields:
        """Return the leaves of some fields that the observation does not show."""
        return {p: v for p, v in fields.items() if is_unseen(p, self.unseen, self.apart)}

    @property
    def names(self) -> tuple[str, ...]:
        """The ids of the object, and of the object into which it was merged."""
        return (self.external_id,) + (() if self.merged_into is None else (self.merged_into,))

    def tells_origin_of(self, path: str) -> bool:
        """Whether the observation shows the origin of the last change of this field."""
        return self.changed is not None and any(
            path == pointer or path.startswith(f"{pointer}/") for pointer in self.changed
        )

    @property
    def answers(self) -> tuple[str, ...]:
        """The push that this observation answers, if any."""
        return () if self.intent_id is None else (self.intent_id,)
