"""Read the events whose webhooks Stripe could not deliver.

Stripe keeps events for 30 days: https://docs.stripe.com/webhooks/process-undelivered-events.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import stripe

from zenskar import Changes
from zenskar_stripe import lookup, webhooks
from zenskar_stripe.client import Answer, StripeApi
from zenskar_stripe.failures import is_lost_cursor

OVERLAP_SECONDS = 300
"""For this long after an event, Stripe may list it wrongly or not at all."""
FIRST_SECONDS = 3 * 86_400
"""The start of the first poll: for three days Stripe retries a webhook itself."""
KEPT_SECONDS = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the feed: the events since a second of Stripe's clock, after the event `after`.

    `began` is the second in which Stripe answered the first page of a poll. Stripe lists the newest
    events first, so the next poll starts there.
    """

    since: int
    began: int | None = None
    after: str | None = None

    @classmethod
    def of(cls, checkpoint: str | None) -> "Position | None":
        """Return the position that a checkpoint holds, None for an unreadable checkpoint."""
        if checkpoint is None:
            return cls.first()
        try:
            return cls(**json.loads(checkpoint))
        except (ValueError, TypeError):
            return None

    @classmethod
    def first(cls) -> "Position":
        """Return the position of a first poll."""
        return cls(int(time.time()) - FIRST_SECONDS)

    @property
    def checkpoint(self) -> str:
        """The position as a text."""
        return json.dumps(asdict(self))


async def changes(api: StripeApi, checkpoint: str | None) -> Changes:
    """Return a page of events, each as the body of its webhook.

    That webhook may still arrive, and is then a repetition. So every state is recorded, also one
    that was edited again meanwhile.
    """
    known = Position.of(checkpoint)
    position = known or Position.first()
    try:
        answer = await _page(api, position)
    except stripe.InvalidRequestError as error:
        if position.after is None or not is_lost_cursor(error):
            raise
        position = Position(position.since)
        answer = await _page(api, position)
    began = position.began or answer.at or int(time.time())
    more, last = answer.has_more and bool(answer.items), _last(answer.items)
    then = Position(began - OVERLAP_SECONDS)
    if more and last is not None:
        then = replace(position, began=began, after=last)
    is_late = position.after is None and began - position.since > KEPT_SECONDS
    return Changes(
        (),
        then.checkpoint,
        more=more and last is not None,
        # Nothing leads to the events behind a page without any id.
        lost=known is None or is_late or (more and last is None),
        answered_at=answer.at,
        bodies=tuple(answer.items),
    )


def _last(items: Sequence[Any]) -> str | None:
    """Return the last id of a page: an event behind it, which has none, is listed again."""
    ids = (each.get("id") for each in reversed(items) if isinstance(each, dict))
    return next((each for each in ids if isinstance(each, str) and each), None)


async def _page(api: StripeApi, position: Position) -> Answer:
    params = {
        "types": list(webhooks.TYPES),
        "created": {"gte": position.since},
        "delivery_success": False,
        "limit": lookup.PAGE,
        **({"starting_after": position.after} if position.after else {}),
    }
    return await api.list_events(params)
