"""The known state of a record at a connection when a decision is made."""

from dataclasses import dataclass

from zenskar.model.record import ExternalMapping, Intent, IntentKind, Record


@dataclass(frozen=True, slots=True)
class Candidate:
    """A living record that an unknown object may belong to.

    `free`: the record has no mapping at the connection, and no create of the record is open.
    """

    record: Record
    free: bool


@dataclass(frozen=True, slots=True)
class Situation:
    """The record, its mapping, and our own pushes whose effect may still occur.

    For `observe`, `mapping` is that of the observed external object and `rival` the record's
    mapping to a different object, live or not. `intents` are the pushes without an answer, and
    the push that an observation names as its origin. `successor` is the mapping of the object into
    which the observed object was merged. `candidates` are the records that may be the counterpart
    of an unknown object, whose fields `match_by` are compared in this order.
    """

    record: Record | None = None
    mapping: ExternalMapping | None = None
    intents: tuple[Intent, ...] = ()
    rival: ExternalMapping | None = None
    successor: ExternalMapping | None = None
    candidates: tuple[Candidate, ...] = ()
    match_by: tuple[str, ...] = ()


def creates_since(situation: Situation, released: ExternalMapping) -> tuple[Intent, ...]:
    """Return the creates that were sent after a record's former object was released."""
    return tuple(
        intent
        for intent in situation.intents
        if intent.kind is IntentKind.CREATE and intent.revision >= released.revision
    )
