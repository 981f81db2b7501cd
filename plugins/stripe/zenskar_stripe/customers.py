"""Translate customers between Stripe's form and the canonical form.

An empty string unsets a field at Stripe, which shows an unset field as null:
https://docs.stripe.com/api/customers/update. Here null and an empty string are equal. A field that
is missing in an answer or an event was not seen, so it is missing in the canonical form too.
"""

import re
from collections.abc import Mapping
from typing import Any

from zenskar import Change, ExternalObject, IntentKind
from zenskar.fields import Field, FieldMap, Group, Keys
from zenskar_stripe.failures import UnreadableAnswer

ENTITY = "customer"
OWN_PREFIX = "zenskar_"
RECORD_KEY = "zenskar_id"
"""The metadata key that carries the id of our record."""
METADATA_KEYS = 50
"""The maximum of metadata keys: https://docs.stripe.com/api/metadata."""

_DESCRIBED = re.compile(rf"{RECORD_KEY}: ([0-9a-f-]{{36}})")
_TEXTS = ("name", "email", "phone")
_ADDRESS = ("line1", "line2", "city", "state", "postal_code", "country")
_FIELDS = FieldMap(
    *map(Field, _TEXTS),
    Group("address", {name: name for name in _ADDRESS}, at="address"),
    Keys("metadata", hidden=OWN_PREFIX),
    unset="",
)


def seen(data: Mapping[str, Any], answered_at: int | None = None) -> ExternalObject:
    """Return a customer, or the stub of a deleted customer, as an external object."""
    external_id = data.get("id")
    if not isinstance(external_id, str) or not external_id:
        raise UnreadableAnswer("the answer is no customer")
    present = None if data.get("deleted") is True else data
    return ExternalObject(ENTITY, external_id, present, record_id(data), answered_at)


def listed(item: Any, answered_at: int | None = None) -> ExternalObject:
    """Return an item of a list as an external object; one that is no customer has no id."""
    try:
        return seen(item, answered_at)
    except (UnreadableAnswer, AttributeError):
        return ExternalObject(ENTITY, "", item if isinstance(item, dict) else {}, None, answered_at)


def record_id(data: Mapping[str, Any]) -> str | None:
    """Return the id of our record that a customer carries, None without one.

    A customer that was created with all metadata keys in use carries the id in its description.
    """
    metadata, description = data.get("metadata"), data.get("description")
    stored = metadata.get(RECORD_KEY) if isinstance(metadata, dict) else None
    if isinstance(stored, str) and stored:
        return stored
    match = _DESCRIBED.fullmatch(description) if isinstance(description, str) else None
    return match[1] if match else None


def to_canonical(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the canonical document of a customer, without the missing fields."""
    return _FIELDS.to_canonical(data)


def pointers(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the JSON pointers of the canonical fields among these attributes of a customer."""
    plain = [f"/{name}" for name in (*_TEXTS, "address") if name in attributes]
    metadata = attributes.get("metadata", {})
    if not isinstance(metadata, Mapping):
        return (*plain, "/metadata")
    keys = (key.replace("~", "~0").replace("/", "~1") for key in metadata)
    return (*plain, *(f"/metadata/{key}" for key in keys))


def from_canonical(change: Change) -> dict[str, Any]:
    """Return the parameters of the call that makes a change."""
    body = _FIELDS.from_canonical(change)
    if change.kind is IntentKind.CREATE:
        _carry(change.record_id, body)
    elif change.kind is IntentKind.UPDATE:
        _make_room(change.document, body)
    return body


def _carry(own_id: str, body: dict[str, Any]) -> None:
    """Store the id of our record on a new customer."""
    metadata = body.setdefault("metadata", {})
    if len(metadata) < METADATA_KEYS:
        metadata[RECORD_KEY] = own_id
    else:
        body["description"] = f"{RECORD_KEY}: {own_id}"


def _make_room(document: Mapping[str, Any], body: dict[str, Any]) -> None:
    """Remove the id of our record when no metadata key is left for it: the mapping holds the id."""
    metadata = body.get("metadata", {})
    if any(metadata.values()) and len(document.get("metadata") or {}) >= METADATA_KEYS:
        metadata[RECORD_KEY] = ""
