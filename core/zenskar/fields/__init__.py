"""Declare the mapping of fields once, for both directions: an optional helper for translations."""

from zenskar.fields.entries import Constant, Field, Group, Keys, RecordId, Split
from zenskar.fields.field_map import FieldMap

__all__ = ["Constant", "Field", "FieldMap", "Group", "Keys", "RecordId", "Split"]
