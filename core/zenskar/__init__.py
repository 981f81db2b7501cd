"""The public API for authors of integrations; every other module is private to zenskar."""

from zenskar.errors import BadSignature, CallFailed, Failure, FailureKind, InvalidInput, Violation
from zenskar.model.call_limit import CallLimit, Usage
from zenskar.model.integration import (
    Change,
    Changes,
    Connection,
    ExternalObject,
    Health,
    ObjectRef,
    Page,
    Push,
    PushResult,
    SandboxInfo,
    Setting,
    WebhookAnswer,
    WebhookEvent,
    WebhookRequest,
)
from zenskar.model.interval import Interval, http_date
from zenskar.model.notices import (
    ConflictRecorded,
    ConnectionPaused,
    ConnectionResumed,
    DeadLetterAdded,
    RecordChanged,
)
from zenskar.model.record import IntentKind
from zenskar.plugins.base import BaseIntegration
from zenskar.plugins.broadcast_specs import hookimpl
from zenskar.plugins.declarations import PLUGIN_API_VERSION

__all__ = [
    "PLUGIN_API_VERSION",
    "BadSignature",
    "BaseIntegration",
    "CallFailed",
    "CallLimit",
    "Change",
    "Changes",
    "ConflictRecorded",
    "Connection",
    "ConnectionPaused",
    "ConnectionResumed",
    "DeadLetterAdded",
    "ExternalObject",
    "Failure",
    "FailureKind",
    "Health",
    "IntentKind",
    "Interval",
    "InvalidInput",
    "ObjectRef",
    "Page",
    "Push",
    "PushResult",
    "RecordChanged",
    "SandboxInfo",
    "Setting",
    "Usage",
    "Violation",
    "WebhookAnswer",
    "WebhookEvent",
    "WebhookRequest",
    "hookimpl",
    "http_date",
]
