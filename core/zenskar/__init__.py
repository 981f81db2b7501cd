"""The public API for authors of integrations; every other module is private to zenskar."""

from zenskar.errors import BadSignature, CallFailed, Failure, FailureKind, InvalidInput
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
    WebhookEvent,
    WebhookRequest,
)
from zenskar.model.interval import Interval, http_date
from zenskar.model.record import IntentKind
from zenskar.plugins.base import PLUGIN_API_VERSION, BaseIntegration

__all__ = [
    "PLUGIN_API_VERSION",
    "BadSignature",
    "BaseIntegration",
    "CallFailed",
    "Change",
    "Changes",
    "Connection",
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
    "SandboxInfo",
    "Setting",
    "WebhookEvent",
    "WebhookRequest",
    "http_date",
]
