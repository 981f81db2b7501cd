"""A local Stripe: customers, events, signed webhooks and injected faults."""

from .dashboard import Dashboard
from .endpoints import WebhookEndpoint
from .errors import ApiError
from .faults import Fault, FaultKind, Faults, Mode
from .log import Log, LoggedCall, LoggedDelivery
from .sandbox import StripeSandbox
from .store import StoreError

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
