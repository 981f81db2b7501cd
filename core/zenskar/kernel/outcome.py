"""The outcome of an observation."""

from dataclasses import dataclass, field
from enum import StrEnum

from zenskar.kernel.policy import Conflict
from zenskar.model.fields import FieldChanges
from zenskar.model.record import ExternalMapping


class Verdict(StrEnum):
    """The decision on an observation."""

    CREATED = "created"
    LINKED = "linked"
    MERGED = "merged"
    DELETED = "deleted"
    RESTORED = "restored"
    MERGED_INTO = "merged_into"
    CONFIRMED = "confirmed"
    ECHO = "echo"
    STALE = "stale"
    AMBIGUOUS = "ambiguous"
    REPLAYED = "replayed"
    LOST = "lost"
    TOMBSTONE = "tombstone"
    DUPLICATE = "duplicate"
    LATE = "late"
    UNDECIDED = "undecided"
    ENTERED = "entered"
    OUTSIDE = "outside"

    @property
    def changes_state(self) -> bool:
        """Whether the observation changed the state; otherwise it repeated a known state."""
        return self not in _KNOWN


_KNOWN = frozenset(
    {
        Verdict.CONFIRMED,
        Verdict.ECHO,
        Verdict.STALE,
        Verdict.TOMBSTONE,
        Verdict.DUPLICATE,
        Verdict.OUTSIDE,
    }
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The decision on one observation, to be stored in one transaction.

    `mapping` is the mapping to store, None when it is unchanged. `record_changes` are changes of
    the record, or the new record's fields when `create_record` is set. `seen_changes` are the
    differences from the base, for the history. `settled` names pushes whose effect the base now
    holds. `unconfirmed` names pushes that were answered while the base does not hold their effect:
    it may still show up, so they stay `unknown`. `ended` names pushes without an answer that can
    have no further effect. After a merge of objects, `successor` is the mapping of the successor to
    store. `look` names an object to fetch that is not, or not now, the record's. `restore_record`
    undeletes the record. `matched` names the records that an unknown object
    matches by its values: the linked record, or those among which a person decides.
    """

    verdict: Verdict
    mapping: ExternalMapping | None = None
    record_changes: FieldChanges = field(default_factory=dict)
    create_record: bool = False
    delete_record: bool = False
    seen_changes: FieldChanges = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()
    settled: tuple[str, ...] = ()
    unconfirmed: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    successor: ExternalMapping | None = None
    look: str | None = None
    restore_record: bool = False
    matched: tuple[str, ...] = ()

    @property
    def changes_record(self) -> bool:
        """Whether the record is created, changed, deleted or undeleted."""
        whole = self.create_record or self.delete_record or self.restore_record
        return whole or bool(self.record_changes)
