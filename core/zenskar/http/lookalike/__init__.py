"""A server to build the look-alike of an external system on, for tests and sandboxes."""

from zenskar.http.lookalike.background import Background, Interrupted
from zenskar.http.lookalike.bad_input import BadInput
from zenskar.http.lookalike.broken_answers import sent
from zenskar.http.lookalike.call_log import Log, LoggedCall, LoggedDelivery
from zenskar.http.lookalike.control import EditRefused
from zenskar.http.lookalike.deliveries import DeliveryRetries
from zenskar.http.lookalike.endpoints import WebhookEndpoint
from zenskar.http.lookalike.event_store import EventStore
from zenskar.http.lookalike.faults import Fault, FaultKind, Faults, Mode
from zenskar.http.lookalike.local_run import kept_secrets, running_at
from zenskar.http.lookalike.look_alike import LookAlike, SignedWebhook
from zenskar.http.lookalike.objects import ObjectPage, Objects
from zenskar.http.lookalike.record_store import Record, Store, StoreError
from zenskar.http.lookalike.shifted_clock import ShiftedClock

__all__ = [
    "Background",
    "BadInput",
    "DeliveryRetries",
    "EditRefused",
    "EventStore",
    "Fault",
    "FaultKind",
    "Faults",
    "Interrupted",
    "Log",
    "LoggedCall",
    "LoggedDelivery",
    "LookAlike",
    "Mode",
    "ObjectPage",
    "Objects",
    "Record",
    "ShiftedClock",
    "SignedWebhook",
    "Store",
    "StoreError",
    "WebhookEndpoint",
    "kept_secrets",
    "running_at",
    "sent",
]
