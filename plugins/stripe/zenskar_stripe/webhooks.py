"""Verify and parse webhooks: https://docs.stripe.com/webhooks."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from zenskar import BadSignature, ExternalObject, Interval, WebhookEvent
from zenskar import WebhookRequest as Request
from zenskar.webhooks import verify_age, verify_hmac
from zenskar_stripe import customers
from zenskar_stripe.config import Config

HEADER = "stripe-signature"
_ITEM = re.compile(r"(?:^|,)\s*(t|v1)=([^,\s]*)")
TYPES = ("customer.created", "customer.updated", "customer.deleted")
"""Whole types, because types of subscriptions, sources and tax ids also start with `customer.`."""


def verify(request: Request, secrets: Iterable[str]) -> None:
    """Raise `BadSignature` unless one of the secrets signed these bytes just now.

    The rules: https://docs.stripe.com/webhooks#verify-manually.
    """
    # The SDK's check accepts timestamps of the future, and raises errors of many other kinds for an
    # unexpected header or body, for example when the body is not UTF-8.
    timestamp, signatures = _parse(request.headers.get(HEADER, ""))
    verify_hmac(secrets, timestamp, b".", request.body, given=signatures)
    verify_age(timestamp, request.received_at)


def sent_at(request: Request) -> int | None:
    """Return the second in which a verified webhook was sent: Stripe signs every attempt."""
    try:
        return int(_parse(request.headers.get(HEADER, ""))[0])
    except (BadSignature, ValueError):
        return None


def event(body: Mapping[str, Any], config: Config, *, sent_at: int | None = None) -> WebhookEvent:
    """Return the event of an event object, also when the integration ignores the event."""
    ignored = _ignored(body, config)
    return WebhookEvent(
        id=body["id"],
        type=body["type"],
        occurred=_occurred(body["created"]),
        seen=None if ignored else _seen(body),
        ignored=ignored,
        origin_key=_origin_key(body.get("request")),
        sent_at=sent_at,
        changed=None if ignored else _changed(body),
    )


def _parse(header: str) -> tuple[str, list[str]]:
    items = _ITEM.findall(header)
    timestamps = [value for name, value in items if name == "t"]
    if len(timestamps) != 1:
        raise BadSignature("the Stripe-Signature header does not have one timestamp")
    return timestamps[0], [value for name, value in items if name == "v1"]


def _ignored(body: Mapping[str, Any], config: Config) -> str | None:
    """Return the reason to ignore an event in one word, None when the event is synced."""
    if body.get("object") == "v2.core.event":
        return "thin_event"
    if config.live is not None and body.get("livemode") not in (None, config.live):
        return "other_mode"
    # Only events of connected accounts name an account: https://docs.stripe.com/connect/webhooks.
    if body.get("account") not in (None, config.account):
        return "other_account"
    return None if body["type"] in TYPES else "unknown_type"


def _seen(body: Mapping[str, Any]) -> ExternalObject:
    customer = customers.seen(body["data"]["object"])
    if body["type"] != "customer.deleted":
        return customer
    return ExternalObject(customers.ENTITY, customer.external_id, None, customer.record_id)


def _occurred(created: Any) -> Interval:
    if isinstance(created, str):
        return Interval.of_iso(created)
    return Interval.of_second(int(created))


def _changed(body: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the fields that the request behind an event changed, None when they are unknown.

    `previous_attributes` holds the changes since the event before, of hashes member by member:
    https://docs.stripe.com/api/events/object#event_object-data-previous_attributes.
    """
    if not _has_known_origin(body):
        return None
    if body["type"] != "customer.updated":
        return ("",)
    previous = body["data"].get("previous_attributes")
    return customers.pointers(previous) if isinstance(previous, dict) else None


def _has_known_origin(body: Mapping[str, Any]) -> bool:
    """Return whether a missing key proves that no call with a key caused the event."""
    request = body.get("request", "")
    if isinstance(request, dict):
        return "idempotency_key" in request or request.get("id", "") is None
    return request is None


def _origin_key(request: Any) -> str | None:
    # An object since API version 2017-05-25, before that only the request's id.
    key = request.get("idempotency_key") if isinstance(request, dict) else None
    return key if isinstance(key, str) and key else None
