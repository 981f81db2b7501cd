"""Events that Stripe could not deliver are a feed, which lists the bodies of their webhooks."""

import json
import time
from typing import Any

import pytest
from aiohttp import web

from zenskar import Changes, WebhookEvent, WebhookRequest
from zenskar_stripe.feed import FIRST_SECONDS, KEPT_SECONDS, OVERLAP_SECONDS, Position
from zenskar_stripe.integration import StripeIntegration
from zenskar_stripe.sandbox import StripeSandbox

from .conftest import Open, Serve


def undelivered(sandbox: StripeSandbox) -> None:
    """Add an endpoint that no webhook reaches."""
    sandbox.add_webhook_endpoint("http://127.0.0.1:1/", "whsec_x")


def since(seconds_ago: float) -> str:
    return Position(int(time.time() - seconds_ago)).checkpoint


async def test_an_event_shows_its_customer_as_its_webhook_does(
    stripe: StripeIntegration, sandbox: StripeSandbox
) -> None:
    undelivered(sandbox)
    kept = sandbox.dashboard.create({"name": "Ada"})["id"]
    sandbox.dashboard.update(kept, {"name": "Eve"})
    gone = sandbox.dashboard.create({"metadata": {"zenskar_id": "rec_1"}})["id"]
    sandbox.dashboard.delete(gone)
    before = len(sandbox.requests)
    changes = await stripe.changes(None)
    deleted, *others = (each.seen for each in events(stripe, changes))
    assert deleted is not None
    assert (deleted.external_id, deleted.data, deleted.record_id) == (gone, None, "rec_1")
    shown = [(each.external_id, each.data["name"]) for each in others if each and each.data]
    assert sorted(shown, key=str) == sorted([(gone, None), (kept, "Ada"), (kept, "Eve")], key=str)
    assert all(str(each.id).startswith("evt_") for each in events(stripe, changes))
    assert (changes.more, changes.lost) == (False, False)
    assert len(sandbox.requests) - before == 1


async def test_the_next_poll_starts_before_this_one(
    stripe: StripeIntegration, sandbox: StripeSandbox
) -> None:
    first = await stripe.changes(None)
    assert first.answered_at is not None
    position = Position.of(first.checkpoint)
    assert position == Position(first.answered_at - OVERLAP_SECONDS)
    undelivered(sandbox)
    sandbox.dashboard.create({"name": "Ada"})
    for _ in range(2):
        assert len((await stripe.changes(first.checkpoint)).bodies) == 1


async def test_delivered_events_are_not_in_the_feed(
    stripe: StripeIntegration, sandbox: StripeSandbox, served: Serve
) -> None:
    async def take(_: web.Request) -> web.Response:
        return web.Response()

    sandbox.add_webhook_endpoint(await served(take), "whsec_x")
    sandbox.dashboard.create({"name": "Ada"})
    await sandbox.settle()
    assert (await stripe.changes(None)).bodies == ()


async def test_events_come_in_pages(stripe: StripeIntegration, sandbox: StripeSandbox) -> None:
    undelivered(sandbox)
    made = {sandbox.dashboard.create({"name": "Ada"})["id"] for _ in range(101)}
    first = await stripe.changes(None)
    second = await stripe.changes(first.checkpoint)
    assert (len(first.bodies), first.more) == (100, True)
    assert (len(second.bodies), second.more) == (1, False)
    assert named(first, second) == made
    began = json.loads(first.checkpoint)["began"]
    assert Position.of(second.checkpoint) == Position(began - OVERLAP_SECONDS)


async def test_a_page_whose_last_event_is_unknown_starts_again(
    stripe: StripeIntegration, sandbox: StripeSandbox
) -> None:
    undelivered(sandbox)
    made = sandbox.dashboard.create({"name": "Ada"})["id"]
    now = int(time.time())
    lost = Position(now - 60, began=now, after="evt_unknown")
    assert named(await stripe.changes(lost.checkpoint)) == {made}


async def test_events_of_long_ago_are_lost(
    stripe: StripeIntegration, sandbox: StripeSandbox
) -> None:
    assert not (await stripe.changes(since(KEPT_SECONDS - 60))).lost
    lost = await stripe.changes(since(KEPT_SECONDS + 60))
    assert lost.lost
    assert not (await stripe.changes(lost.checkpoint)).lost


def test_the_first_poll_starts_before_the_retries_of_stripe_end() -> None:
    assert abs(time.time() - FIRST_SECONDS - Position.first().since) < 60


@pytest.mark.parametrize("checkpoint", ["", "[]", "7", '{"until": 1}'])
async def test_a_checkpoint_that_cannot_be_read_is_a_loss(
    stripe: StripeIntegration, checkpoint: str
) -> None:
    changes = await stripe.changes(checkpoint)
    assert changes.lost
    assert not (await stripe.changes(changes.checkpoint)).lost


UNREADABLE: tuple[Any, ...] = ({}, {"id": None}, {"id": ""}, {"id": 7}, None, "evt_2", 7, [])


@pytest.mark.parametrize("unreadable", UNREADABLE, ids=str)
async def test_the_feed_continues_behind_the_last_event_with_an_id(
    opened: Open, served: Serve, unreadable: Any
) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.query.get("starting_after"))
        page = [{"id": "evt_1"}, unreadable] if len(asked) == 1 else [unreadable, {"id": "evt_3"}]
        return web.json_response({"data": page, "has_more": len(asked) == 1})

    stripe = await opened(api_base=await served(answer))
    first = await stripe.changes(None)
    second = await stripe.changes(first.checkpoint)
    assert (first.bodies[1], second.bodies[0]) == (unreadable, unreadable)
    assert (first.more, second.more, first.lost, second.lost) == (True, False, False, False)
    assert asked == [None, "evt_1"]


async def test_a_page_without_any_id_is_a_loss(opened: Open, served: Serve) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"type": "customer.created"}], "has_more": True})

    stripe = await opened(api_base=await served(answer))
    changes = await stripe.changes(None)
    assert (len(changes.bodies), changes.more, changes.lost) == (1, False, True)


def named(*pages: Changes) -> set[str]:
    names = (body["data"]["object"]["id"] for page in pages for body in page.bodies)
    return set(names)


def events(stripe: StripeIntegration, changes: Changes) -> list[WebhookEvent]:
    """Return the events of the bodies, as the core does."""
    request = WebhookRequest({}, b"")
    return [event for body in changes.bodies for event in stripe.parse_webhook(request, body)]
