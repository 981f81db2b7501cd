"""What an observation changes."""

from dataclasses import dataclass, field
from enum import StrEnum

from zenskar.kernel.policy import Conflict
from zenskar.model.fields import FieldChanges
from zenskar.model.record import ExternalMapping


class Verdict(StrEnum):
    """What an observation turned out to be."""

    CREATED = "created"
    LINKED = "linked"
    MERGED = "merged"
    DELETED = "deleted"
    CONFIRMED = "confirmed"
    ECHO = "echo"
    STALE = "stale"
    AMBIGUOUS = "ambiguous"
    REPLAYED = "replayed"
    LOST = "lost"
    TOMBSTONE = "tombstone"
    DUPLICATE = "duplicate"
    LATE = "late"

    @property
    def news(self) -> bool:
        """Whether it changed or settled something, rather than telling what was known."""
        return self not in _KNOWN


_KNOWN = frozenset(
    {Verdict.CONFIRMED, Verdict.ECHO, Verdict.STALE, Verdict.TOMBSTONE, Verdict.DUPLICATE}
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The decision on one observation, to be stored in one transaction.

    `mapping` is the mapping as it is to be stored, None when it stays as it is. `record_changes`
    are to be made to the record, or are the new record's fields when `create_record` is set.
    `seen_changes` are the differences that were seen against the base, for the history;
    `settled` names the pushes whose effect the base now holds, `unconfirmed` those that were
    answered while it does not: what they wrote may still show up, so they stay `unknown`.
    `ended` names pushes without an answer of which nothing more is awaited.
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

    @property
    def changes_record(self) -> bool:
        """Whether the record is made, changed or deleted."""
        return self.create_record or self.delete_record or bool(self.record_changes)
