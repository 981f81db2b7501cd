"""Faults that befall webhook deliveries."""

import asyncio

import pytest
import stripe

from zenskar_stripe.sandbox import Fault, FaultKind


def create(sandbox, *names):
    return [sandbox.dashboard.create({"name": name}) for name in names]


async def test_delay(sandbox, hook):
    sandbox.faults.add(Fault(kind=FaultKind.WEBHOOK_DELAY, delay_seconds=0.1))
    loop = asyncio.get_running_loop()
    start = loop.time()
    create(sandbox, "late", "early")
    await sandbox.settle()
    assert hook.receiver.names == ["early", "late"]
    assert loop.time() - start >= 0.1


async def test_duplicate(sandbox, hook):
    sandbox.faults.add(Fault(kind=FaultKind.WEBHOOK_DUPLICATE, copies=5))
    create(sandbox, "many", "one")
    await sandbox.settle()
    assert sorted(hook.receiver.names) == ["many"] * 5 + ["one"]
    assert len({each.event["id"] for each in hook.receiver.received}) == 2
    for each in hook.receiver.received:
        header = each.headers["Stripe-Signature"]
        assert stripe.WebhookSignature.verify_header(each.body, header, hook.secret, 300)


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("seed", [0, 1, 2])
async def test_reorder(sandbox, hook, size, seed):
    fault = Fault(kind=FaultKind.WEBHOOK_REORDER, size=size, seed=seed, delay_seconds=60)
    sandbox.faults.add(fault)
    names = [str(number) for number in range(size)]
    create(sandbox, *names)
    await sandbox.settle()
    assert sorted(hook.receiver.names) == names
    assert hook.receiver.names != names


async def test_reorder_waits_for_the_others(sandbox, hook):
    sandbox.faults.add(Fault(kind=FaultKind.WEBHOOK_REORDER, delay_seconds=60))
    create(sandbox, "first")
    assert len(sandbox.deliveries) == 0
    create(sandbox, "second", "third")
    await hook.receiver.wait_for(3)
    held = [name for name in hook.receiver.names if name != "third"]
    assert held == ["second", "first"]


async def test_reorder_lets_go_in_the_end(sandbox, hook):
    sandbox.faults.add(Fault(kind=FaultKind.WEBHOOK_REORDER, size=3, delay_seconds=0.05))
    create(sandbox, "a", "b")
    await hook.receiver.wait_for(2)
    assert hook.receiver.names == ["b", "a"]


async def test_settle_lets_go_of_what_is_held(sandbox, hook):
    sandbox.faults.add(Fault(kind=FaultKind.WEBHOOK_REORDER, size=3, delay_seconds=60))
    create(sandbox, "a", "b")
    await sandbox.settle()
    assert hook.receiver.names == ["b", "a"]


async def test_reorder_sends_one_after_the_other(sandbox, hook):
    fault = Fault(kind=FaultKind.WEBHOOK_REORDER, event_type="customer.created", delay_seconds=60)
    sandbox.faults.add(fault)
    hook.receiver.gate = gate = asyncio.Event()
    first, _ = create(sandbox, "first", "second")
    await hook.receiver.wait_for(1)
    sandbox.dashboard.delete(first["id"])
    await hook.receiver.wait_for(2)
    assert hook.receiver.types == ["customer.created", "customer.deleted"]
    gate.set()
    await sandbox.settle()
    assert hook.receiver.names == ["second", "first", "first"]


async def test_reorder_in_several_batches(sandbox, hook):
    sandbox.faults.add(Fault(kind=FaultKind.WEBHOOK_REORDER, count=4, delay_seconds=60))
    create(sandbox, "1", "2", "3", "4")
    await sandbox.settle()
    for earlier, later in (("1", "2"), ("3", "4")):
        assert hook.receiver.names.index(later) < hook.receiver.names.index(earlier)


async def test_an_endpoint_that_is_removed_holds_nobody_up(sandbox, hook):
    sandbox.faults.add(Fault(kind=FaultKind.WEBHOOK_REORDER, delay_seconds=60))
    create(sandbox, "a", "b")
    (endpoint,) = sandbox.webhook_endpoints()
    sandbox.remove_webhook_endpoint(endpoint.id)
    await sandbox.settle()
    assert hook.receiver.received == []


async def test_drop_is_redelivered(sandbox, hook):
    sandbox.faults.add(Fault(kind=FaultKind.WEBHOOK_DROP, attempts=2))
    create(sandbox, "x")
    await sandbox.settle()
    assert hook.receiver.names == ["x"]
    found = [(each.status, each.error) for each in sandbox.deliveries]
    assert found == [(None, "dropped by a fault")] * 2 + [(200, None)]
    assert {each.fault for each in sandbox.deliveries} == {"webhook_drop"}


async def test_filter_by_type(sandbox, hook):
    sandbox.faults.add(
        Fault(kind=FaultKind.WEBHOOK_DUPLICATE, event_type="customer.deleted", count=9)
    )
    (customer,) = create(sandbox, "x")
    sandbox.dashboard.delete(customer["id"])
    await sandbox.settle()
    assert sorted(hook.receiver.types) == ["customer.created"] + ["customer.deleted"] * 2


async def test_faults_combine(sandbox, hook):
    sandbox.faults.add(Fault(kind=FaultKind.WEBHOOK_DROP))
    sandbox.faults.add(Fault(kind=FaultKind.WEBHOOK_DUPLICATE, copies=3))
    create(sandbox, "x")
    await sandbox.settle()
    assert hook.receiver.names == ["x"] * 3
    assert [each.attempt for each in sandbox.deliveries] == [1, 2, 2, 2]


async def test_api_calls_are_spared(sandbox, hook, v1):
    sandbox.faults.add(Fault(kind=FaultKind.WEBHOOK_DROP, probability=1.0))
    assert (await v1.customers.create_async({"name": "x"})).name == "x"
    assert [each.fault for each in sandbox.requests] == [None]
