"""The repair of a difference, as the kernel decides it."""

from enum import StrEnum
from types import MappingProxyType

from zenskar.kernel import Outcome, StepKind, Verdict
from zenskar.model.missing import Missing
from zenskar.model.observation import Observation
from zenskar.model.record import ExternalMapping


class RepairAction(StrEnum):
    """The repair of a difference. `there` is the external system."""

    CREATE_HERE = "create_here"
    """Create a record for an object."""
    CREATE_THERE = "create_there"
    """Create an object for a record."""
    LINK = "link"
    """Link an object with a record that has none, and merge both."""
    MERGE = "merge"
    """Make a record and its object equal."""
    DELETE_HERE = "delete_here"
    """Delete the record of an object that is missing there."""
    DELETE_THERE = "delete_there"
    """Delete the object of a deleted record."""
    RESTORE_HERE = "restore_here"
    """Undelete the record of an object that was restored."""
    FOLLOW_MERGE = "follow_merge"
    """Link a record with the object into which its object was merged."""


OF_HIDDEN = MappingProxyType(
    {Missing.RECREATE: RepairAction.CREATE_THERE, Missing.DELETE: RepairAction.DELETE_HERE}
)
"""The repair of an object that is not visible, by the choice of an operator."""

_OUTWARD = MappingProxyType(
    {
        StepKind.CREATE: RepairAction.CREATE_THERE,
        StepKind.RESEND: RepairAction.CREATE_THERE,
        StepKind.FIND: RepairAction.CREATE_THERE,
        StepKind.UPDATE: RepairAction.MERGE,
        StepKind.FETCH: RepairAction.MERGE,
        StepKind.DELETE: RepairAction.DELETE_THERE,
    }
)


def inward_action(
    before: ExternalMapping | None, seen: Observation, outcome: Outcome
) -> RepairAction | None:
    """Return the effect of an inbound event with an outcome.

    None stands for an event that changes nothing, such as that of an ambiguous match.
    """
    if outcome.create_record:
        return RepairAction.CREATE_HERE
    if outcome.delete_record:
        return RepairAction.DELETE_HERE
    if outcome.verdict is Verdict.RESTORED:
        return RepairAction.RESTORE_HERE
    if outcome.mapping is None:
        return None
    if seen.merged_into is not None:
        return RepairAction.FOLLOW_MERGE
    joined = before is None or outcome.verdict is Verdict.ENTERED
    return RepairAction.LINK if joined else RepairAction.MERGE


def outward_action(step: StepKind) -> RepairAction | None:
    """Return the effect of a push that begins with a step."""
    return _OUTWARD.get(step)
