"""What an edit through the API really changes."""

from zenskar.model.fields import FieldChanges, difference
from zenskar.model.fields import apply as apply_changes
from zenskar.model.record import Record


def edit(record: Record, changes: FieldChanges) -> FieldChanges:
    """Return what is left of the changes: nothing on a deleted record, nothing that is so already.

    A delete wins over edits (rule 8), and an edit without a difference is no news for anybody.
    """
    if record.deleted:
        return {}
    return difference(record.fields, apply_changes(record.fields, changes))
