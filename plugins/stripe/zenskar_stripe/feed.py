"""Read the events whose webhooks Stripe could not deliver.

Stripe keeps events for 30 days: https://docs.stripe.com/webhooks/process-undelivered-events.
"""

import json
import time
from dataclasses import asdict, dataclass, replace

import stripe

from zenskar import Changes
from zenskar_stripe import lookup, webhooks
from zenskar_stripe.client import Answer, StripeApi
from zenskar_stripe.config import Config
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
    def of(cls, checkpoint: str | None) -> "Position":
        """Return the position that a checkpoint holds, or the first position."""
        if checkpoint is None:
            return cls(int(time.time()) - FIRST_SECONDS)
        return cls(**json.loads(checkpoint))

    @property
    def checkpoint(self) -> str:
        """The position as a text."""
        return json.dumps(asdict(self))


async def changes(api: StripeApi, config: Config, checkpoint: str | None) -> Changes:
    """Return a page of events.

    An event shows its customer as its webhook does: that webhook may still arrive, and is then a
    repetition. So every state is recorded, also one that was edited again meanwhile.
    """
    position = Position.of(checkpoint)
    try:
        answer = await _page(api, position)
    except stripe.InvalidRequestError as error:
        if position.after is None or not is_lost_cursor(error):
            raise
        position = Position(position.since)
        answer = await _page(api, position)
    began = position.began or answer.at or int(time.time())
    more = answer.has_more and bool(answer.objects)
    then = Position(began - OVERLAP_SECONDS)
    if more:
        then = replace(position, began=began, after=answer.objects[-1]["id"])
    found = (webhooks.event(body, config) for body in answer.objects)
    return Changes(
        tuple(event for event in found if event.ignored is None),
        then.checkpoint,
        more=more,
        lost=position.after is None and began - position.since > KEPT_SECONDS,
        answered_at=answer.at,
    )


async def _page(api: StripeApi, position: Position) -> Answer:
    params = {
        "types": list(webhooks.TYPES),
        "created": {"gte": position.since},
        "delivery_success": False,
        "limit": lookup.PAGE,
        **({"starting_after": position.after} if position.after else {}),
    }
    return await api.list_events(params)
