"""Stripe as a system that holds only a name and an e-mail, or whose answers have no body."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from zenskar import (
    BaseIntegration,
    Change,
    ExternalObject,
    IntentKind,
    Push,
    PushResult,
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


@dataclass(frozen=True)
class System:
    """The fields that the external system holds, and its integration."""

    held: frozenset[str] = CUSTOMER.names
    integration: type[BaseIntegration] = StripeIntegration

    def plugins(self, installed: Mapping[str, Plugin]) -> dict[str, Plugin]:
        """Return the installed plugins with this system's integration."""
        stripe = replace(installed["stripe"], integration=self.integration)
        return {**installed, "stripe": stripe}


_SYSTEMS = (
    System(),
    System(),
    System(),
    System(frozenset(HELD), Silent),
    System(frozenset(HELD), Declared),
    System(integration=Blind),
)


def system_of(seed: int) -> System:
    """Return the external system of a seed: two of six hold some fields only."""
    return _SYSTEMS[seed % len(_SYSTEMS)]
