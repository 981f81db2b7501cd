"""The effective changes of an edit through the API."""

from zenskar.model.fields import FieldChanges, difference
from zenskar.model.fields import apply as apply_changes
from zenskar.model.record import Record


def edit(record: Record, changes: FieldChanges) -> FieldChanges:
    """Return the effective changes: none on a deleted record, and none to equal values.

    A delete wins over edits (rule 8), and an edit without a difference needs no push.
    """
    if record.deleted:
        return {}
    return difference(record.fields, apply_changes(record.fields, changes))
