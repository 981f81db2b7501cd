"""A local Salesforce: contacts or accounts, SOQL, composite calls, tokens, injected faults."""

from zenskar.http.lookalike import DeliveryRetries, Fault, FaultKind, Mode

from .problems import Refused
from .sandbox import APP, SalesforceSandbox, settings_of
from .tokens import ConnectedApp

__all__ = [
    "APP",
    "ConnectedApp",
    "DeliveryRetries",
    "Fault",
    "FaultKind",
    "Mode",
    "Refused",
    "SalesforceSandbox",
    "settings_of",
]
