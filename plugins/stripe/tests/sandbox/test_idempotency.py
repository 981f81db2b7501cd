"""Idempotency keys."""

import asyncio

import pytest
import stripe

from zenskar_stripe.sandbox import Fault, FaultKind, StripeSandbox


async def count(v1):
    return len((await v1.customers.list_async({"limit": 100})).data)


async def test_the_same_key_replays(v1, call):
    first = await call("POST", "/v1/customers", {"name": "x"}, Idempotency_Key="k")
    second = await call("POST", "/v1/customers", {"name": "x"}, Idempotency_Key="k")
    assert first[:2] == second[:2]
    assert "Idempotent-Replayed" not in first[2]
    assert second[2]["Idempotent-Replayed"] == "true"
    assert second[2]["Original-Request"] == first[2]["Request-Id"]
    assert second[2]["Request-Id"] != first[2]["Request-Id"]
    assert await count(v1) == 1


async def test_the_order_of_parameters_does_not_matter(call):
    first = await call("POST", "/v1/customers", {"name": "x", "phone": "1"}, Idempotency_Key="k")
    second = await call("POST", "/v1/customers", {"phone": "1", "name": "x"}, Idempotency_Key="k")
    assert first[1] == second[1]


async def test_a_replay_shows_the_first_answer_even_after_changes(v1, sandbox):
    options = {"idempotency_key": "k"}
    customer = await v1.customers.create_async({"name": "x"}, options)
    sandbox.dashboard.update(customer.id, {"name": "y"})
    assert (await v1.customers.create_async({"name": "x"}, options)).name == "x"


async def test_other_parameters_are_an_error(v1):
    options = {"idempotency_key": "k"}
    customer = await v1.customers.create_async({"name": "x"}, options)
    for attempt in (
        v1.customers.create_async({"name": "y"}, options),
        v1.customers.update_async(customer.id, {"name": "x"}, options),
    ):
        with pytest.raises(stripe.IdempotencyError) as caught:
            await attempt
        assert caught.value.http_status == 400
    assert await count(v1) == 1


async def test_validation_failures_are_not_kept(v1):
    options = {"idempotency_key": "k"}
    with pytest.raises(stripe.InvalidRequestError):
        await v1.customers.create_async({"email": "nobody"}, options)
    assert (await v1.customers.create_async({"email": "a@example.com"}, options)).id


async def test_rate_limits_are_not_kept(v1, sandbox):
    sandbox.faults.add(Fault(kind=FaultKind.RATE_LIMITED))
    options = {"idempotency_key": "k"}
    with pytest.raises(stripe.RateLimitError):
        await v1.customers.create_async({"name": "x"}, options)
    assert (await v1.customers.create_async({"name": "x"}, options)).name == "x"


async def test_refused_credentials_are_not_kept(call):
    refused = await call(
        "POST", "/v1/customers", {"name": "x"}, Idempotency_Key="k", Authorization="Bearer no"
    )
    accepted = await call("POST", "/v1/customers", {"name": "x"}, Idempotency_Key="k")
    assert (refused[0], accepted[0]) == (401, 200)


@pytest.mark.parametrize("effect", [False, True])
async def test_a_500_is_replayed_for_ever(v1, sandbox, call, effect):
    sandbox.faults.add(Fault(kind=FaultKind.SERVER_ERROR, effect=effect))
    first = await call("POST", "/v1/customers", {"name": "x"}, Idempotency_Key="k")
    second = await call("POST", "/v1/customers", {"name": "x"}, Idempotency_Key="k")
    assert (first[0], second[0]) == (500, 500)
    assert first[1] == second[1]
    assert second[2]["Idempotent-Replayed"] == "true"
    assert await count(v1) == int(effect)


async def test_a_missing_resource_is_kept(v1, call):
    first = await call("POST", "/v1/customers/cus_none", {"name": "x"}, Idempotency_Key="k")
    second = await call("POST", "/v1/customers/cus_none", {"name": "x"}, Idempotency_Key="k")
    assert (first[0], second[0]) == (404, 404)
    assert second[2]["Idempotent-Replayed"] == "true"


async def test_a_key_in_use(v1, sandbox, call):
    sandbox.faults.add(Fault(kind=FaultKind.DELAY, delay_seconds=0.2))
    answers = await asyncio.gather(
        *(call("POST", "/v1/customers", {"name": "x"}, Idempotency_Key="k") for _ in range(5))
    )
    assert sorted(answer[0] for answer in answers) == [200, 409, 409, 409, 409]
    conflict = next(answer for answer in answers if answer[0] == 409)
    assert conflict[1]["error"]["code"] == "idempotency_key_in_use"
    assert await count(v1) == 1
    assert (await call("POST", "/v1/customers", {"name": "x"}, Idempotency_Key="k"))[0] == 200


async def test_keys_expire(clock, connect):
    async with StripeSandbox(clock=clock, idempotency_lifetime=60) as sandbox:
        v1, options = connect(sandbox), {"idempotency_key": "k"}
        first = await v1.customers.create_async({"name": "x"}, options)
        clock.now += 59
        assert (await v1.customers.create_async({"name": "x"}, options)).id == first.id
        clock.now += 1
        assert (await v1.customers.create_async({"name": "x"}, options)).id != first.id


async def test_keys_live_a_day_by_default(clock, connect):
    async with StripeSandbox(clock=clock) as sandbox:
        v1, options = connect(sandbox), {"idempotency_key": "k"}
        first = await v1.customers.create_async({"name": "x"}, options)
        clock.now += 86_399
        assert (await v1.customers.create_async({"name": "x"}, options)).id == first.id


async def test_get_and_delete_ignore_keys(v1, call):
    customer = await v1.customers.create_async({"name": "x"})
    path = f"/v1/customers/{customer.id}"
    first = await call("GET", path, Idempotency_Key="k")
    await v1.customers.update_async(customer.id, {"name": "y"})
    second = await call("GET", path, Idempotency_Key="k")
    assert (first[1]["name"], second[1]["name"]) == ("x", "y")
    assert (await call("DELETE", path, Idempotency_Key="k"))[0] == 200
    assert (await call("DELETE", path, Idempotency_Key="k"))[0] == 404


async def test_long_keys(call):
    assert (await call("POST", "/v1/customers", {}, Idempotency_Key="k" * 255))[0] == 200
    status, body, _ = await call("POST", "/v1/customers", {}, Idempotency_Key="k" * 256)
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")


async def test_keys_outside_ascii(call):
    first = await call("POST", "/v1/customers", {"name": "x"}, Idempotency_Key="é")
    second = await call("POST", "/v1/customers", {"name": "x"}, Idempotency_Key="é")
    assert first[1] == second[1]
