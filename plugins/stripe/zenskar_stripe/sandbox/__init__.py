"""A local Stripe: customers, events, signed webhooks and injected faults."""

from zenskar.http.lookalike import (
    Fault,
    FaultKind,
    Faults,
    Log,
    LoggedCall,
    LoggedDelivery,
    Mode,
    StoreError,
    WebhookEndpoint,
)

from .dashboard import Dashboard
from .errors import ApiError
from .sandbox import StripeSandbox

__all__ = [
    "ApiError",
    "Dashboard",
    "Fault",
    "FaultKind",
    "Faults",
    "Log",
    "LoggedCall",
    "LoggedDelivery",
    "Mode",
    "StoreError",
    "StripeSandbox",
    "WebhookEndpoint",
]
