"""The rules for edits of a customer: limits apply to the members that a request changes.

Values from an external system may break every limit of the API. A client that reads a customer must
still be able to send it back.
"""

from collections.abc import Mapping
from typing import Any

from zenskar.catalog.views import view
from zenskar.db.customers import Customer
from zenskar.errors import SchemaViolation, Violation
from zenskar.model.fields import Document
from zenskar.schema_catalog import Schema

METADATA_KEYS = 48
"""The limit of the input schema; here it applies to the customer after the change."""
_REQUIRED = ("name", "email")
_SAME = ("id", "version", "created_at", "updated_at")
"""Read-only members of a customer, which may be sent back unchanged."""
_PASSED_OVER = ("external",)
"""Members that sync changes, so that a client may send an old value back."""


class EditRules:
    """Checks replacements and patches against the present customer."""

    def __init__(self, schema: Schema) -> None:
        self._input = schema.part("create")
        self._replacement = schema.part("replace")
        self._patch = schema.part("patch")

    def replaced(self, present: Customer, document: Document) -> Document:
        """Return the customer after a replacement. Raises `SchemaViolation`."""
        wanted, found = _writable(present, document)
        if found or not self._input.accepts(wanted):
            shown = present.document
            found += [
                Violation(f"/{name}", "is required")
                for name in _REQUIRED
                if name not in wanted and shown[name] is not None
            ]
            _check(self._replacement, _changed(shown, wanted), found)
            _check_metadata(shown, wanted)
        return wanted

    def patched(self, present: Customer, patch: Document) -> Document:
        """Return the customer after a JSON merge patch (RFC 7396). Raises `SchemaViolation`."""
        wanted, found = _writable(present, patch)
        shown = present.document
        if found or not self._patch.accepts(wanted):
            _check(self._patch, _without_removals(shown, _changed(shown, wanted)), found)
        merged: dict[str, Any] = merge_patched(shown, wanted)
        _check_metadata(shown, merged)
        return merged


def merge_patched(document: Any, patch: Any) -> Any:
    """Return the document with a JSON merge patch applied (RFC 7396, section 2)."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(document) if isinstance(document, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patched(merged.get(name), value)
    return merged


def _writable(present: Customer, document: Document) -> tuple[dict[str, Any], list[Violation]]:
    """Return the writable members, and violations for read-only members that differ."""
    shown = view(present)
    wrong = [
        Violation(f"/{name}", "is read-only, and not what it is now")
        for name in _SAME
        if name in document and not _is(document[name], shown[name])
    ]
    own = {*_SAME, *_PASSED_OVER}
    return {name: value for name, value in document.items() if name not in own}, wrong


def _changed(shown: Document, wanted: Document) -> dict[str, Any]:
    """Return the members of a document that differ from the present customer."""
    changed: dict[str, Any] = {}
    for name, value in wanted.items():
        there = shown.get(name)
        if name in shown and (_is(value, there) or (value is None and not there)):
            continue
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            changed[name] = _changed(there, value)
        else:
            changed[name] = value
    return changed


def _without_removals(shown: Document, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes without removals of present metadata keys, whose limits do not matter."""
    given, there = changed.get("metadata"), shown["metadata"]
    if not isinstance(given, Mapping):
        return dict(changed)
    kept = {key: value for key, value in given.items() if value is not None or key not in there}
    return {**changed, "metadata": kept}


def _is(value: Any, shown: Any) -> bool:
    return type(value) is type(shown) and bool(value == shown)


def _check(schema: Schema, changed: Document, found: list[Violation]) -> None:
    try:
        schema.check(changed)
    except SchemaViolation as error:
        found = [*found, *error.violations]
    if found:
        raise SchemaViolation(schema.name, found)


def _check_metadata(before: Document, after: Document) -> None:
    """Refuse more metadata keys than the limit, unless the edit adds none.

    An external system may have exceeded the limit.
    """
    had, has = len(before.get("metadata") or {}), len(after.get("metadata") or {})
    if has > METADATA_KEYS and has > had:
        message = f"must have at most {METADATA_KEYS} properties"
        raise SchemaViolation("metadata", [Violation("/metadata", message)])
