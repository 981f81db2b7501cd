"""The longest texts of Stripe by its OpenAPI document (API version 2026-08-26.dahlia).

https://github.com/stripe/openapi. `make test-stripe-mock` compares this with the document.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

USUAL: Final = 5000
"""The limit of texts without their own limit."""

CUSTOMER: Final[Mapping[str, int]] = MappingProxyType(
    {
        "business_name": 150,
        "default_source": 500,
        "email": 512,
        "individual_name": 150,
        "invoice_settings.custom_fields[].name": 40,
        "invoice_settings.custom_fields[].value": 140,
        "name": 256,
        "phone": 20,
    }
)
"""The parameters of a customer with another limit than `USUAL`, by their path."""
