"""Records of the catalog, their mappings to external objects, and pushes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from zenskar.model.fields import FieldChanges, Fields
from zenskar.model.interval import Interval


@dataclass(frozen=True, slots=True)
class Record:
    """An entity of the catalog. `updated_at` is in microseconds since the epoch.

    An `erased` record is deleted, too, and takes over no values.
    """

    id: str
    fields: Fields
    version: int = 1
    updated_at: int = 0
    deleted: bool = False
    erased: bool = False


class MappingState(StrEnum):
    """The state of a mapping. A deleted mapping is a tombstone: no observation revives it."""

    ACTIVE = "active"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class ExternalMapping:
    """A record and its external object, with the base on which both sides last agreed.

    `revision` rises with every merge, confirmation and request for a fetch. `fetch_revision` is
    the revision at which a fetch was requested, None when no fetch is wanted. `entity_id` is None
    for the tombstone of an object whose delete was the first observation of it.
    `detached` says that the external object was released: the record was deleted while its object
    stays, or the record lives and gets another object. `version` is the external object's own name
    of the state in `base`, or of an earlier state; None when unknown. `memo` is the integration's
    note on the object, which the kernel does not read. `merged_into` is the successor of an object
    that was merged into another object. `ended_record` says that the delete of this object deleted
    the record, so that its restore may undelete the record.
    """

    external_id: str
    entity_id: str | None
    base: Fields
    asof: Interval
    revision: int = 1
    state: MappingState = MappingState.ACTIVE
    fetch_revision: int | None = None
    detached: bool = False
    version: str | None = None
    memo: Mapping[str, Any] | None = None
    merged_into: str | None = None
    ended_record: bool = False

    @property
    def active(self) -> bool:
        """Whether the external object lives and is kept equal to the record."""
        return self.state is MappingState.ACTIVE


class IntentKind(StrEnum):
    """The operation of a push on the external object."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class IntentState(StrEnum):
    """The state of a push: sent, then answered, failed or `unknown` without an answer.

    A push without an answer is `ended` when its effect was seen or can no longer occur.
    """

    SENT = "sent"
    UNKNOWN = "unknown"
    ANSWERED = "answered"
    FAILED = "failed"
    ENDED = "ended"


OPEN = frozenset({IntentState.SENT, IntentState.UNKNOWN})
"""The states of a push whose effect may still occur."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A push that is stored before it is sent. `id` is its idempotency key.

    `changes` are the written fields. `revision` is the mapping's revision when the push was sent:
    0 without a mapping; for a create after a release, the revision of the released object's
    tombstone. `body` is the JSON of the exact bytes in the plugin's own terms. `key_alive` says
    whether the external system still remembers the key, `may_arrive` whether its last request
    may still take effect.
    """

    id: str
    kind: IntentKind
    changes: FieldChanges
    revision: int = 0
    state: IntentState = IntentState.SENT
    key_alive: bool = True
    may_arrive: bool = True
    body: Mapping[str, Any] = field(default_factory=dict)
