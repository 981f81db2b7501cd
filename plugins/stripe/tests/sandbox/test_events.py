"""The event log."""

import pytest
import stripe

from zenskar_stripe.sandbox import StripeSandbox


async def events(v1, **params):
    return [each.to_dict() for each in (await v1.events.list_async(params)).data]


async def test_the_shape_of_a_created_event(v1, call):
    _, customer, headers = await call("POST", "/v1/customers", {"name": "x"}, Idempotency_Key="k")
    (event,) = await events(v1)
    assert event["id"].startswith("evt_")
    assert event["data"] == {"object": customer}
    assert event["request"] == {"id": headers["Request-Id"], "idempotency_key": "k"}
    assert isinstance(event["created"], int)
    assert event["pending_webhooks"] == 0
    wanted = {
        "object": "event",
        "type": "customer.created",
        "api_version": "2026-10-28.endive",
        "livemode": False,
    }
    assert wanted.items() <= event.items()


async def test_previous_attributes_hold_only_what_changed(v1):
    customer = await v1.customers.create_async(
        {
            "name": "Ada",
            "phone": "1",
            "metadata": {"a": "1", "b": "2", "c": "3"},
            "preferred_locales": ["nb", "en"],
            "address": {"line1": "x", "city": "Oslo"},
        }
    )
    await v1.customers.update_async(
        customer.id,
        {
            "name": "Grace",
            "phone": "1",
            "metadata": {"a": "9", "b": "", "d": "4"},
            "preferred_locales": ["nb"],
            "address": {"line1": "x", "city": "Bergen"},
        },
    )
    event = (await events(v1))[0]
    assert event["type"] == "customer.updated"
    assert event["data"]["object"]["name"] == "Grace"
    assert event["data"]["previous_attributes"] == {
        "name": "Ada",
        "metadata": {"a": "1", "b": "2", "d": None},
        "preferred_locales": ["nb", "en"],
        "address": {"city": "Oslo"},
    }


async def test_an_unset_hash_was_whole(v1):
    customer = await v1.customers.create_async({"address": {"city": "Oslo"}})
    await v1.customers.update_async(customer.id, {"address": ""})
    previous = (await events(v1))[0]["data"]["previous_attributes"]
    assert previous == {"address": customer.address.to_dict()}


async def test_nothing_changed_nothing_happened(v1):
    customer = await v1.customers.create_async({"name": "Ada", "metadata": {"a": "1"}})
    await v1.customers.update_async(customer.id, {"name": "Ada", "metadata": {"a": "1", "b": ""}})
    await v1.customers.update_async(customer.id, {})
    assert [event["type"] for event in await events(v1)] == ["customer.created"]


async def test_deleted_events_hold_the_whole_customer(v1):
    customer = await v1.customers.create_async({"name": "Ada"})
    await v1.customers.delete_async(customer.id)
    event = (await events(v1))[0]
    assert event["type"] == "customer.deleted"
    assert event["data"] == {"object": customer.to_dict()}


async def test_dashboard_edits_have_no_request(v1, sandbox):
    customer = sandbox.dashboard.create({"name": "Ada", "metadata": {"a": "1"}})
    sandbox.dashboard.update(customer["id"], {"name": None, "metadata": {"a": None}})
    sandbox.dashboard.delete(customer["id"])
    found = await events(v1)
    assert [event["type"].split(".")[1] for event in found] == ["deleted", "updated", "created"]
    assert found[1]["data"]["previous_attributes"] == {"name": "Ada", "metadata": {"a": "1"}}
    for event in found:
        assert event["request"] == {"id": None, "idempotency_key": None}


async def test_retrieve(v1, sandbox):
    sandbox.dashboard.create({})
    (event,) = await events(v1)
    assert (await v1.events.retrieve_async(event["id"])).to_dict() == event
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await v1.events.retrieve_async("evt_none")
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")


async def test_filters_by_type(v1, sandbox):
    customer = sandbox.dashboard.create({})
    sandbox.dashboard.update(customer["id"], {"name": "x"})
    sandbox.dashboard.delete(customer["id"])

    async def types(**params):
        return [event["type"].split(".")[1] for event in await events(v1, **params)]

    assert await types(type="customer.updated") == ["updated"]
    assert await types(type="customer.*") == ["deleted", "updated", "created"]
    assert await types(types=["customer.created", "customer.deleted"]) == ["deleted", "created"]
    assert await types(type="invoice.paid") == []
    with pytest.raises(stripe.InvalidRequestError):
        await types(type="customer.created", types=["customer.deleted"])


async def test_filters_by_time_and_cursor(clock, connect):
    async with StripeSandbox(clock=clock) as sandbox:
        v1 = connect(sandbox)
        start = int(clock.now)
        for _ in range(5):
            sandbox.dashboard.create({})
            clock.now += 10
        found = await events(v1)
        assert [event["created"] - start for event in found] == [40, 30, 20, 10, 0]
        assert await events(v1, created={"gte": start + 20, "lt": start + 40}) == found[1:3]
        assert await events(v1, created={"gt": start + 20}) == found[:2]
        assert await events(v1, starting_after=found[2]["id"]) == found[3:]
        assert await events(v1, ending_before=found[2]["id"]) == found[:2]
        with pytest.raises(stripe.InvalidRequestError):
            await events(v1, starting_after="evt_none")


async def test_events_are_kept_for_thirty_days(clock, connect):
    async with StripeSandbox(clock=clock) as sandbox:
        v1 = connect(sandbox)
        sandbox.dashboard.create({})
        (event,) = await events(v1)
        clock.now += 30 * 86_400 - 1
        assert await events(v1) == [event]
        clock.now += 2
        assert await events(v1) == []
        with pytest.raises(stripe.InvalidRequestError):
            await v1.events.retrieve_async(event["id"])
