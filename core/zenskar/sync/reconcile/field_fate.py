"""The effect of an outcome on the fields that differ between a record and its object."""

from collections.abc import Mapping
from enum import StrEnum

from zenskar.kernel import Outcome
from zenskar.kernel.policy import Side
from zenskar.model.fields import Fields, difference


class FieldFate(StrEnum):
    """The effect on a field that differs."""

    HERE = "taken_here"
    """The record takes the value of the object."""
    THERE = "sent_there"
    """The object gets the value of the record."""
    HERE_WINS = "conflict_internal"
    """Both have a value, and the record's wins."""
    THERE_WINS = "conflict_external"
    """Both have a value, and the object's wins."""


_CONFLICTS = frozenset({FieldFate.HERE_WINS, FieldFate.THERE_WINS})


def fates_of(outcome: Outcome, after: Fields) -> dict[str, FieldFate]:
    """Return the fate of each field that differs.

    `after` are the fields that the object is to hold after the outcome.
    """
    fates = dict.fromkeys(outcome.record_changes, FieldFate.HERE)
    if outcome.mapping is not None:
        fates |= dict.fromkeys(difference(outcome.mapping.base, after), FieldFate.THERE)
    for conflict in outcome.conflicts:
        wins = conflict.winner is Side.INTERNAL
        fates[conflict.path] = FieldFate.HERE_WINS if wins else FieldFate.THERE_WINS
    return dict(sorted(fates.items()))


def has_conflict(fates: Mapping[str, FieldFate]) -> bool:
    """Return whether both sides have different values of a field."""
    return not _CONFLICTS.isdisjoint(fates.values())
