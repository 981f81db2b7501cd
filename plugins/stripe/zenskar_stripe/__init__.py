"""Stripe integration for zenskar: https://stripe.com."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zenskar_stripe.integration import StripeIntegration

__all__ = ["StripeIntegration"]


def __getattr__(name: str) -> Any:
    # The sandbox is part of this package and must not load the Stripe SDK.
    if name == "StripeIntegration":
        from zenskar_stripe.integration import StripeIntegration

        return StripeIntegration
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
