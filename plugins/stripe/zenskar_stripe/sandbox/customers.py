"""The customer object: its full shape, partial updates and their changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .metadata import merged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zenskar.http.lookalike import Record

# Accepted as Stripe does, but without a visible trace on the unexpanded object.
_INVISIBLE: Final = frozenset(
    {"cash_balance", "expand", "source", "tax", "tax_id_data", "validate"}
)


def new_customer(identifier: str, created: int, prefix: str, params: Mapping[str, Any]) -> Record:
    """Return a customer with every attribute that Stripe shows."""
    blank: Record = {
        "id": identifier,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": created,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": prefix,
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    return patched(blank, params)


def patched(customer: Record, params: Mapping[str, Any]) -> Record:
    """Return a copy with the given fields replaced."""
    result = dict(customer)
    for name, value in params.items():
        if name == "metadata":
            result[name] = merged(customer[name], value)
        elif name == "invoice_settings":
            result[name] = _invoice_settings(customer[name], value)
        elif name not in _INVISIBLE and name != "payment_method":
            result[name] = value
    return result


def stub(identifier: str) -> Record:
    """Return the stub of a deleted customer."""
    return {"id": identifier, "object": "customer", "deleted": True}


def previous_attributes(before: Record, after: Record) -> Record:
    """Return the former values of changed members; added keys are null.

    Hashes are compared member by member and arrays as a whole:
    https://docs.stripe.com/api/events/object#event_object-data-previous_attributes
    """
    return {
        key: _previous(before.get(key), after.get(key))
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    }


def _previous(before: Any, after: Any) -> Any:
    if isinstance(before, dict) and isinstance(after, dict):
        return previous_attributes(before, after)
    return before


def _invoice_settings(current: Record, given: Record | None) -> Record:
    if given is None:
        return dict.fromkeys(current)
    fields = {name: None if value == [] else value for name, value in given.items()}
    return {**current, **fields}
