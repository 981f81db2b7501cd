"""The parameters of the customer and event endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .lengths import CUSTOMER
from .metadata import Metadata
from .params import Boolean, Choice, Email, Hash, Integer, Many, Param, Reference, Text, Whole

if TYPE_CHECKING:
    from .forms import Node

_MONEY = 99_999_999
_ADDRESS = Whole(
    Hash(dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"), Text()))
)
# Stripe replaces `shipping` and its address as a whole on update (stripe-python issue 255).
_SHIPPING = Whole(Hash({"address": _ADDRESS, "name": Text(), "phone": Text()}, ("address", "name")))
_CUSTOM_FIELD = Hash(
    {
        "name": Text(CUSTOMER["invoice_settings.custom_fields[].name"]),
        "value": Text(CUSTOMER["invoice_settings.custom_fields[].value"]),
    },
    ("name", "value"),
)
_RENDERING = Whole(
    Hash(
        {
            "amount_tax_display": Choice(("exclude_tax", "include_inclusive_tax")),
            "template": Reference("invoice rendering template"),
        }
    )
)
_INVOICE_SETTINGS = Hash(
    {
        "custom_fields": Many(_CUSTOM_FIELD, 4),
        "default_payment_method": Reference("PaymentMethod"),
        "footer": Text(),
        "rendering_options": _RENDERING,
    }
)
_RECONCILIATION = Choice(("automatic", "manual", "merchant_default"))
_CASH_BALANCE = Hash({"settings": Hash({"reconciliation_mode": _RECONCILIATION})})
_TAX = Hash({"ip_address": Text(), "validate_location": Choice(("deferred", "immediately"))})
_EXPAND = Many(Text(), 20)

_EITHER: Final[dict[str, Param]] = {
    "address": _ADDRESS,
    "balance": Integer(-_MONEY, _MONEY),
    "business_name": Text(CUSTOMER["business_name"]),
    "cash_balance": _CASH_BALANCE,
    "description": Text(),
    "email": Email(),
    "expand": _EXPAND,
    "individual_name": Text(CUSTOMER["individual_name"]),
    "invoice_prefix": Text(12),
    "invoice_settings": _INVOICE_SETTINGS,
    "metadata": Metadata(),
    "name": Text(CUSTOMER["name"]),
    "next_invoice_sequence": Integer(1, 10**9),
    "phone": Text(CUSTOMER["phone"]),
    "preferred_locales": Many(Text()),
    "shipping": _SHIPPING,
    "source": Reference("token"),
    "tax": _TAX,
    "tax_exempt": Choice(("none", "exempt", "reverse"), "none"),
    "validate": Boolean(),
}
CREATE: Final[dict[str, Param]] = {
    **_EITHER,
    "payment_method": Reference("PaymentMethod"),
    "tax_id_data": Many(Hash({"type": Text(), "value": Text()}, ("type", "value")), 5),
    "test_clock": Reference("test clock"),
}
UPDATE: Final[dict[str, Param]] = {**_EITHER, "default_source": Reference("source")}
RETRIEVE: Final[dict[str, Param]] = {"expand": _EXPAND}
DELETE: Final[dict[str, Param]] = {}


_BOUNDS = Hash(dict.fromkeys(("gt", "gte", "lt", "lte"), Integer()))


class _Created:
    """A time in seconds, or a hash of bounds."""

    def read(self, node: Node, name: str) -> dict[str, int]:
        """Return the bounds by their operator; a plain time has the operator `eq`."""
        if isinstance(node, str):
            return {"eq": Integer().read(node, name)}
        return _BOUNDS.read(node, name) or {}


_PAGE: Final[dict[str, Param]] = {
    "created": _Created(),
    "ending_before": Text(),
    "expand": _EXPAND,
    "limit": Integer(1, 100),
    "starting_after": Text(),
}
LIST: Final[dict[str, Param]] = {**_PAGE, "email": Text(CUSTOMER["email"]), "test_clock": Text()}
SEARCH: Final[dict[str, Param]] = {
    "expand": _EXPAND,
    "limit": Integer(1, 100),
    "page": Text(),
    "query": Text(),
}
EVENTS: Final[dict[str, Param]] = {
    **_PAGE,
    "delivery_success": Boolean(),
    "type": Text(),
    "types": Many(Text(), 20),
}
