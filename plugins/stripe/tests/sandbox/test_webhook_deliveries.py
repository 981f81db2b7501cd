"""Signed deliveries, retries and what the event log says of them."""

import asyncio
import time
from itertools import pairwise

import pytest
import stripe

from zenskar_stripe.sandbox import StripeSandbox


def verify(received, secret, tolerance=300):
    header = received.headers["Stripe-Signature"]
    return stripe.WebhookSignature.verify_header(received.body, header, secret, tolerance)


def timestamp(received):
    return int(received.headers["Stripe-Signature"].split(",")[0].removeprefix("t="))


async def undelivered(v1):
    page = await v1.events.list_async({"delivery_success": False})
    return [event.id for event in page.data]


async def test_a_delivery_is_signed(v1, hook, sandbox):
    customer = await v1.customers.create_async({"name": "Ada \N{GRINNING FACE}"})
    (received,) = await hook.receiver.wait_for(1)
    assert verify(received, hook.secret)
    with pytest.raises(stripe.SignatureVerificationError):
        verify(received, "whsec_other")
    event = stripe.Webhook.construct_event(
        received.body, received.headers["Stripe-Signature"], hook.secret
    )
    assert event.type == "customer.created"
    assert event.data.object.id == customer.id
    assert received.headers["Content-Type"] == "application/json; charset=utf-8"
    assert received.event["pending_webhooks"] == 1
    await sandbox.settle()
    assert (await v1.events.retrieve_async(event.id)).pending_webhooks == 0


async def test_what_is_delivered_is_the_event(v1, hook):
    await v1.customers.create_async({"name": "Ada"})
    (received,) = await hook.receiver.wait_for(1)
    listed = (await v1.events.list_async()).data[0].to_dict()
    assert {**received.event, "pending_webhooks": 0} == {**listed, "pending_webhooks": 0}


async def test_endpoints_choose_their_types(sandbox, hooks):
    everything, deletions = await hooks(), await hooks()
    sandbox.add_webhook_endpoint(everything.url, everything.secret)
    sandbox.add_webhook_endpoint(deletions.url, deletions.secret, ["customer.deleted"])
    customer = sandbox.dashboard.create({})
    sandbox.dashboard.delete(customer["id"])
    await sandbox.settle()
    assert sorted(everything.receiver.types) == ["customer.created", "customer.deleted"]
    assert deletions.receiver.types == ["customer.deleted"]
    assert verify(deletions.receiver.received[0], deletions.secret)


async def test_failures_are_retried_with_backoff(v1, hook, sandbox):
    hook.receiver.answers.extend([500, 302, 404])
    sandbox.dashboard.create({})
    await sandbox.settle()
    attempts = list(sandbox.deliveries)
    assert [each.status for each in attempts] == [500, 302, 404, 200]
    assert [each.attempt for each in attempts] == [1, 2, 3, 4]
    waits = [after.time - before.time for before, after in pairwise(attempts)]
    assert waits[0] >= 0.009
    assert waits[1] >= 0.018
    assert waits[2] >= 0.036
    assert len({each.body for each in hook.receiver.received}) == 1
    assert await undelivered(v1) == []


async def test_each_attempt_is_signed_anew(clock, hooks):
    hook = await hooks()
    clock.now = time.time()
    async with StripeSandbox(clock=clock, webhook_retry_base=0.01) as sandbox:
        sandbox.add_webhook_endpoint(hook.url, hook.secret)
        hook.receiver.answers.append(500)
        hook.receiver.gate = gate = asyncio.Event()
        sandbox.dashboard.create({})
        await hook.receiver.wait_for(1)
        clock.now += 7
        gate.set()
        first, second = await hook.receiver.wait_for(2)
        assert timestamp(second) - timestamp(first) == 7
        assert verify(first, hook.secret)
        assert verify(second, hook.secret)


async def test_attempts_are_bounded(hooks, connect):
    hook = await hooks()
    async with StripeSandbox(webhook_retry_base=0.001, webhook_max_attempts=3) as sandbox:
        v1 = connect(sandbox)
        sandbox.add_webhook_endpoint(hook.url, hook.secret)
        hook.receiver.answers.extend([500] * 3)
        sandbox.dashboard.create({})
        await sandbox.settle()
        assert len(hook.receiver.received) == 3
        (event,) = await undelivered(v1)
        assert (await v1.events.retrieve_async(event)).pending_webhooks == 1
        sandbox.dashboard.create({})
        await sandbox.settle()
        assert await undelivered(v1) == [event]
        page = await v1.events.list_async({"delivery_success": True})
        assert event not in [each.id for each in page.data]
        assert len(page.data) == 1


async def test_nobody_listens(sandbox, hooks, v1):
    sandbox.add_webhook_endpoint("http://127.0.0.1:1/hook", "whsec_x")
    sandbox.dashboard.create({})
    with pytest.raises(TimeoutError, match="1 deliveries or delayed effects"):
        await sandbox.settle(0.1)
    assert {each.status for each in sandbox.deliveries} == {None}
    assert {each.error for each in sandbox.deliveries} == {"ClientConnectorError"}
    assert len(await undelivered(v1)) == 1


async def test_one_delivery_does_not_block_another(sandbox, hook):
    hook.receiver.gate = gate = asyncio.Event()
    first = sandbox.dashboard.create({"name": "first"})
    await hook.receiver.wait_for(1)
    sandbox.dashboard.update(first["id"], {"name": "second"})
    await hook.receiver.wait_for(2)
    assert [each.status for each in sandbox.deliveries] in ([], [200])
    gate.set()
    await sandbox.settle()
    assert [each.status for each in sandbox.deliveries] == [200, 200]


async def test_an_endpoint_that_never_answers_is_given_up(hooks):
    hook = await hooks()
    async with StripeSandbox(webhook_timeout=0.05, webhook_retry_base=0.01) as sandbox:
        sandbox.add_webhook_endpoint(hook.url, hook.secret)
        hook.receiver.gate = gate = asyncio.Event()
        sandbox.dashboard.create({})
        await sandbox.settle()
        gate.set()
        assert [each.error for each in sandbox.deliveries] == ["TimeoutError", None]


async def test_an_endpoint_that_is_removed_is_left_alone(sandbox, hooks, v1):
    hook = await hooks()
    endpoint = sandbox.add_webhook_endpoint(hook.url, hook.secret)
    hook.receiver.answers.extend([500] * 20)
    sandbox.dashboard.create({})
    await hook.receiver.wait_for(1)
    assert sandbox.remove_webhook_endpoint(endpoint.id) is True
    assert sandbox.remove_webhook_endpoint(endpoint.id) is False
    await sandbox.settle()
    assert await undelivered(v1) == []
    sandbox.dashboard.create({})
    await sandbox.settle()
    assert len(set(hook.receiver.names)) == 1


async def test_a_known_url_gets_the_new_secret(sandbox, hook):
    again = sandbox.add_webhook_endpoint(hook.url, "whsec_new", ["customer.created"])
    assert [each.id for each in sandbox.webhook_endpoints()] == [again.id]
    sandbox.dashboard.create({})
    (received,) = await hook.receiver.wait_for(1)
    assert verify(received, "whsec_new")


async def test_events_before_the_endpoint_are_not_sent(sandbox, hooks, v1):
    sandbox.dashboard.create({})
    hook = await hooks()
    sandbox.add_webhook_endpoint(hook.url, hook.secret)
    await sandbox.settle()
    assert hook.receiver.received == []
    assert await undelivered(v1) == []
