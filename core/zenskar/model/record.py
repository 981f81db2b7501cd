"""Records of the catalog and what links them to external objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from zenskar.model.fields import FieldChanges, Fields
from zenskar.model.interval import Interval


@dataclass(frozen=True, slots=True)
class Record:
    """One entity of the internal catalog. `updated_at` is in microseconds since the epoch.

    Nothing is learnt of an `erased` one, which is deleted too.
    """

    id: str
    fields: Fields
    version: int = 1
    updated_at: int = 0
    deleted: bool = False
    erased: bool = False


class MappingState(StrEnum):
    """A deleted mapping is a tombstone: its external id is never revived."""

    ACTIVE = "active"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class ExternalMapping:
    """A record and its external object, with the base on which both sides last agreed.

    `revision` rises with every merge, confirmation and request for a fetch. `fetch_revision` is
    the revision at which a fetch was asked for, None when none is wanted. `entity_id` is None
    for the tombstone of an object that was deleted before anything else was known of it.
    `detached` says that the external object was let go of: the record was deleted here while its
    object was left alone, or lives and is to get another object.
    """

    external_id: str
    entity_id: str | None
    base: Fields
    asof: Interval
    revision: int = 1
    state: MappingState = MappingState.ACTIVE
    fetch_revision: int | None = None
    detached: bool = False

    @property
    def active(self) -> bool:
        """Whether the external object is known to live and is ours to keep equal."""
        return self.state is MappingState.ACTIVE


class IntentKind(StrEnum):
    """What a push does to the external object."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class IntentState(StrEnum):
    """A push's life: stored and sent, then answered, refused or left without an answer.

    One without an answer ends as well: its effect was seen, or can come no more.
    """

    SENT = "sent"
    UNKNOWN = "unknown"
    ANSWERED = "answered"
    FAILED = "failed"
    ENDED = "ended"


OPEN = frozenset({IntentState.SENT, IntentState.UNKNOWN})
"""The states of a push whose effect may still show up."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A push written down before it is sent. `id` is its idempotency key.

    `changes` is what it writes, `revision` the mapping's revision when it was sent (0 when there
    was no mapping; of a create, that of the tombstone of an object that was let go of), `body` the
    exact bytes' JSON in the plugin's own terms. `key_alive` says whether the external system still
    remembers the key, `may_arrive` whether a request of that age may still take effect.
    """

    id: str
    kind: IntentKind
    changes: FieldChanges
    revision: int = 0
    state: IntentState = IntentState.SENT
    key_alive: bool = True
    may_arrive: bool = True
    body: Mapping[str, Any] = field(default_factory=dict)
