"""A local Salesforce: contacts, SOQL, composite calls, tokens and injected faults."""

from .faults import Fault, FaultKind, Faults
from .problems import Refused
from .sandbox import APP, SalesforceSandbox, settings_of
from .tokens import ConnectedApp

__all__ = [
    "APP",
    "ConnectedApp",
    "Fault",
    "FaultKind",
    "Faults",
    "Refused",
    "SalesforceSandbox",
    "settings_of",
]
