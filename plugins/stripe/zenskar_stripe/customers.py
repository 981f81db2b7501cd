"""Translate customers between Stripe's form and the canonical form.

An empty string unsets a field at Stripe, which shows an unset field as null:
https://docs.stripe.com/api/customers/update. Here null and an empty string are equal. A field that
is missing in an answer or an event was not seen, so it is missing in the canonical form too.
"""

import re
from collections.abc import Mapping
from typing import Any

from zenskar import Change, ExternalObject, IntentKind
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


def seen(data: Mapping[str, Any], answered_at: int | None = None) -> ExternalObject:
    """Return a customer, or the stub of a deleted customer, as an external object."""
    external_id = data.get("id")
    if not isinstance(external_id, str) or not external_id:
        raise UnreadableAnswer("the answer is no customer")
    present = None if data.get("deleted") is True else data
    return ExternalObject(ENTITY, external_id, present, record_id(data), answered_at)


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
    document: dict[str, Any] = {name: data[name] or None for name in _TEXTS if name in data}
    if "address" in data:
        document["address"] = _canonical_address(data["address"])
    if "metadata" in data:
        document["metadata"] = _canonical_metadata(data["metadata"])
    return document


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
    match change.kind:
        case IntentKind.CREATE:
            return _create(change.record_id, change.patch)
        case IntentKind.UPDATE:
            return _update(change.patch, change.document)
        case IntentKind.DELETE:
            return {}


def _create(own_id: str, patch: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {name: patch[name] for name in _TEXTS if patch.get(name)}
    address = {key: value for key, value in _address(patch.get("address")).items() if value}
    if address:
        body["address"] = address
    metadata = {key: value for key, value in _metadata(patch).items() if value}
    if len(metadata) < METADATA_KEYS:
        body["metadata"] = {**metadata, RECORD_KEY: own_id}
    else:
        body["metadata"] = metadata
        body["description"] = f"{RECORD_KEY}: {own_id}"
    return body


def _update(patch: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {name: patch[name] or "" for name in _TEXTS if name in patch}
    if "address" in patch:
        # A partial address might keep parts of the old one, so send the whole address.
        body["address"] = _address(patch["address"]) if patch["address"] else ""
    metadata = _metadata(patch)
    if any(metadata.values()) and len(document.get("metadata") or {}) >= METADATA_KEYS:
        # No key is left for our id. By now the mapping holds the customer's id.
        metadata[RECORD_KEY] = ""
    if metadata:
        body["metadata"] = metadata
    return body


def _address(address: Mapping[str, Any] | None) -> dict[str, str]:
    return {key: (address or {}).get(key) or "" for key in _ADDRESS}


def _metadata(patch: Mapping[str, Any]) -> dict[str, str]:
    given = (patch.get("metadata") or {}).items()
    return {key: value or "" for key, value in given if not key.startswith(OWN_PREFIX)}


def _canonical_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    given = (metadata or {}).items()
    return {key: value for key, value in given if value and not key.startswith(OWN_PREFIX)}


def _canonical_address(address: Mapping[str, Any] | None) -> dict[str, str | None] | None:
    lines = {key: (address or {}).get(key) or None for key in _ADDRESS}
    return lines if any(lines.values()) else None
