"""The `expand` parameter: https://docs.stripe.com/api/expanding_objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import ApiError, invalid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zenskar.http.lookalike import Record

_NULL = frozenset(
    {
        "cash_balance",
        "default_source",
        "invoice_settings.default_payment_method",
        "invoice_settings.rendering_options.template",
        "test_clock",
    }
)
_SUBLISTS = frozenset({"sources", "subscriptions", "tax_ids"})


def expanded(customer: Record, paths: Iterable[str]) -> Record:
    """Return a customer with the paths expanded; in the sandbox every expansion is empty."""
    result = dict(customer)
    for path in paths:
        head = path.split(".", 1)[0]
        if head in _SUBLISTS:
            result[head] = _empty_list(customer["id"], head)
        elif path not in _NULL and head not in ("tax", "invoice_credit_balance", "discount"):
            raise unexpandable(path)
        elif "." not in path and result.get(path) is None:
            result[path] = _absent(path)
    return result


def expanded_page(page: Record, paths: Iterable[str]) -> Record:
    """Return a page with the paths below `data.` expanded in every object."""
    inner = []
    for path in paths:
        if not path.startswith("data."):
            raise unexpandable(path)
        inner.append(path.removeprefix("data."))
    return {**page, "data": [expanded(item, inner) for item in page["data"]]} if inner else page


def unexpandable(path: str) -> ApiError:
    """Return the error for a path that cannot be expanded."""
    return invalid(f"This property cannot be expanded ({path}).", "expand")


def _empty_list(customer: str, name: str) -> Record:
    url = f"/v1/customers/{customer}/{name}"
    return {"object": "list", "data": [], "has_more": False, "total_count": 0, "url": url}


def _absent(path: str) -> Any:
    if path == "tax":
        location = {"automatic_tax": "unrecognized_location", "ip_address": None, "location": None}
        return {**location, "provider": "stripe"}
    return {} if path == "invoice_credit_balance" else None
