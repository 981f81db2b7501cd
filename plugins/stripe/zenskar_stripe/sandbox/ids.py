"""Identifiers in Stripe's form, which repeat with the seed."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

_ALPHANUMERIC = string.ascii_letters + string.digits
_UPPERCASE = string.ascii_uppercase + string.digits


class Ids:
    """Draws identifiers from one random generator."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def customer(self) -> str:
        """Return an id such as `cus_NffrFeUfNV2Hib`."""
        return "cus_" + self._draw(14)

    def account(self) -> str:
        """Return an id such as `acct_1Nv0FGQ9RKHgCVdK`."""
        return "acct_1" + self._draw(15)

    def event(self) -> str:
        """Return an id such as `evt_1NG8Du2eZvKYlo2CUI79vXWy`."""
        return "evt_1" + self._draw(23)

    def request(self) -> str:
        """Return an id such as `req_uAjgJqfTGDpXMl`."""
        return "req_" + self._draw(14)

    def endpoint(self) -> str:
        """Return an id such as `we_1Mr5jULkdIwHu7ix1ibLTM0x`."""
        return "we_1" + self._draw(23)

    def invoice_prefix(self) -> str:
        """Return eight capital letters or digits, as on a customer's invoices."""
        return "".join(self._rng.choices(_UPPERCASE, k=8))

    def _draw(self, length: int) -> str:
        return "".join(self._rng.choices(_ALPHANUMERIC, k=length))
