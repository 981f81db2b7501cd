"""Stripe as other systems: with fewer fields, blank answers, named objects, or restores."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from tests.simulation.people import Unique
from zenskar import (
    BaseIntegration,
    Change,
    ExternalObject,
    IntentKind,
    ObjectRef,
    Push,
    PushResult,
    WebhookEvent,
    WebhookRequest,
)
from zenskar.model.fields import CUSTOMER
from zenskar.plugins.discovery import Plugin
from zenskar_stripe.integration import StripeIntegration

HELD = ("name", "email")


class Silent(StripeIntegration):
    """Neither shows nor accepts the other fields, without a declaration."""

    def to_canonical(self, seen: ExternalObject) -> Mapping[str, Any]:
        return {k: v for k, v in super().to_canonical(seen).items() if k in HELD}

    def from_canonical(self, change: Change) -> Mapping[str, Any]:
        patch = {k: v for k, v in change.patch.items() if k in HELD}
        return super().from_canonical(replace(change, patch=patch))


class Declared(StripeIntegration):
    """Declares its fields in `carries`, and leaves the rest to the core."""

    carries: ClassVar[Mapping[str, tuple[str, ...]]] = {"customer": HELD}


class Blind(StripeIntegration):
    """Does not show the objects that it has created or changed."""

    async def push(self, push: Push) -> PushResult:
        answer = await super().push(push)
        if answer.replayed or push.kind is IntentKind.DELETE:
            return answer
        seen = answer.seen
        return PushResult.unseen(push, seen.external_id, answered_at=seen.answered_at)


class Naming(StripeIntegration):
    """Shows no customer in a webhook, also not the writer of a change."""

    def parse_webhook(self, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:
        return [_named(event) for event in super().parse_webhook(request, body)]

    async def fetch_many(
        self, entity_type: str, external_ids: Sequence[str]
    ) -> Sequence[ExternalObject]:
        return await asyncio.gather(*(self.fetch(entity_type, each) for each in external_ids))


class Restoring(StripeIntegration):
    """Declares that a deleted customer may be restored."""

    deletes_are_final: ClassVar[bool] = False


def _named(event: WebhookEvent) -> WebhookEvent:
    if event.seen is None:
        return event
    touched = ObjectRef(event.seen.entity_type, event.seen.external_id)
    return WebhookEvent(event.id, event.type, touched=touched)


@dataclass(frozen=True)
class System:
    """The fields that the external system holds, and its integration.

    With `names_only`, no state between two fetches is seen, and no writer of a change. A system
    that `restores` returns deleted customers. `beside`: a Salesforce org is at a second connection.
    `full`: both sides hold the same people before they are joined.
    """

    held: frozenset[str] = CUSTOMER.names
    integration: type[BaseIntegration] = StripeIntegration
    names_only: bool = False
    restores: bool = False
    beside: bool = False
    full: bool = False

    def plugins(self, installed: Mapping[str, Plugin]) -> dict[str, Plugin]:
        """Return the installed plugins with this system's integration."""
        stripe = replace(installed["stripe"], integration=self.integration)
        return {**installed, "stripe": stripe}


_SYSTEMS = (
    System(),
    System(),
    System(beside=True),
    System(frozenset(HELD), Silent),
    System(frozenset(HELD), Declared),
    System(integration=Blind),
    System(integration=Naming, names_only=True),
    System(integration=Restoring, restores=True),
    System(integration=Unique, full=True),
)


def system_of(seed: int) -> System:
    """Return the system of a seed: two of nine hold some fields only."""
    return _SYSTEMS[seed % len(_SYSTEMS)]
