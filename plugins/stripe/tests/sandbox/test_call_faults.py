"""Faults that befall API calls."""

import asyncio

import aiohttp
import pytest
import stripe

from zenskar_stripe.sandbox import Fault, FaultKind, Mode


async def names(v1):
    return [each.name for each in (await v1.customers.list_async({"limit": 100})).data]


@pytest.mark.parametrize("retry_after", [None, 7])
async def test_rate_limited(v1, sandbox, call, retry_after):
    sandbox.faults.add(
        Fault(kind=FaultKind.RATE_LIMITED, retry_after=retry_after, reason="endpoint-rate")
    )
    status, body, headers = await call("POST", "/v1/customers", {"name": "x"})
    assert status == 429
    assert body["error"]["code"] == "rate_limit"
    assert headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
    assert headers.get("Retry-After") == (str(retry_after) if retry_after else None)
    assert await names(v1) == []


async def test_rate_limited_through_the_sdk(v1, sandbox):
    sandbox.faults.add(Fault(kind=FaultKind.RATE_LIMITED))
    with pytest.raises(stripe.RateLimitError):
        await v1.customers.create_async({"name": "x"})


@pytest.mark.parametrize("effect", [False, True])
async def test_server_error(v1, sandbox, effect):
    sandbox.faults.add(Fault(kind=FaultKind.SERVER_ERROR, effect=effect))
    with pytest.raises(stripe.APIError) as caught:
        await v1.customers.create_async({"name": "x"})
    assert caught.value.http_status == 500
    assert await names(v1) == (["x"] if effect else [])


async def test_drop_answer_has_its_effect(v1, sandbox):
    sandbox.faults.add(Fault(kind=FaultKind.DROP_ANSWER))
    options = {"idempotency_key": "k"}
    with pytest.raises(stripe.APIConnectionError):
        await v1.customers.create_async({"name": "x"}, options)
    assert (await v1.customers.create_async({"name": "x"}, options)).name == "x"
    assert await names(v1) == ["x"]


async def test_drop_request_has_none(v1, sandbox):
    sandbox.faults.add(Fault(kind=FaultKind.DROP_REQUEST))
    with pytest.raises(stripe.APIConnectionError):
        await v1.customers.create_async({"name": "x"})
    assert await names(v1) == []


async def test_drop_request_of_a_read(v1, sandbox):
    # aiohttp's client retries a broken GET or DELETE once.
    sandbox.faults.add(Fault(kind=FaultKind.DROP_REQUEST, count=2))
    with pytest.raises(stripe.APIConnectionError):
        await v1.customers.list_async()
    assert [each.status for each in sandbox.requests] == [None, None]


async def test_a_zombie_takes_effect_later(v1, sandbox, call):
    # Two more calls have to come before it does, on a machine that may be busy.
    sandbox.faults.add(Fault(kind=FaultKind.ZOMBIE, delay_seconds=2.0))
    options = {"idempotency_key": "k"}
    with pytest.raises(stripe.APIConnectionError):
        await v1.customers.create_async({"name": "x"}, options)
    assert await names(v1) == []
    with pytest.raises(stripe.APIError) as caught:
        await v1.customers.create_async({"name": "x"}, options)
    assert (caught.value.http_status, caught.value.error.code) == (409, "idempotency_key_in_use")
    await sandbox.settle()
    assert await names(v1) == ["x"]
    _, _, headers = await call("POST", "/v1/customers", {"name": "x"}, Idempotency_Key="k")
    assert headers["Idempotent-Replayed"] == "true"


async def test_a_zombie_without_a_key_doubles(v1, sandbox, call):
    sandbox.faults.add(Fault(kind=FaultKind.ZOMBIE, delay_seconds=0.05))
    with pytest.raises(aiohttp.ClientError):
        await call("POST", "/v1/customers", {"name": "x"})
    await call("POST", "/v1/customers", {"name": "x"})
    await sandbox.settle()
    assert await names(v1) == ["x", "x"]


async def test_a_zombie_that_is_invalid_does_nothing(sandbox, call, v1):
    sandbox.faults.add(Fault(kind=FaultKind.ZOMBIE, delay_seconds=0.01))
    with pytest.raises(aiohttp.ClientError):
        await call("POST", "/v1/customers", {"nme": "x"})
    await sandbox.settle()
    assert await names(v1) == []


async def test_truncate_cuts_the_body(v1, sandbox):
    sandbox.faults.add(Fault(kind=FaultKind.TRUNCATE))
    with pytest.raises(aiohttp.ClientPayloadError):
        await v1.customers.create_async({"name": "x"})
    assert await names(v1) == ["x"]


async def test_truncate_breaks_the_json(v1, sandbox):
    sandbox.faults.add(Fault(kind=FaultKind.TRUNCATE, mode=Mode.BROKEN_JSON))
    with pytest.raises(stripe.APIError, match="Invalid response body"):
        await v1.customers.create_async({"name": "x"})
    assert await names(v1) == ["x"]


async def test_truncate_answers_html(v1, sandbox, http):
    sandbox.faults.add(Fault(kind=FaultKind.TRUNCATE, mode=Mode.HTML))
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    url = f"{sandbox.base_url}/v1/customers"
    async with http.post(url, data={"name": "x"}, headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert (await answer.text()).startswith("<html>")
    assert await names(v1) == ["x"]


async def test_delay_answers_late_but_acts_at_once(v1, sandbox):
    sandbox.faults.add(Fault(kind=FaultKind.DELAY, delay_seconds=0.2, method="POST"))
    loop = asyncio.get_running_loop()
    start = loop.time()
    task = asyncio.create_task(v1.customers.create_async({"name": "x"}))
    async with asyncio.timeout(5):
        while not await names(v1):
            pass
    assert not task.done()
    assert (await task).name == "x"
    assert loop.time() - start >= 0.2


async def test_filters(v1, sandbox):
    sandbox.faults.add(
        Fault(kind=FaultKind.SERVER_ERROR, method="POST", path_prefix="/v1/customers/", count=9)
    )
    customer = await v1.customers.create_async({"name": "x"})
    with pytest.raises(stripe.APIError):
        await v1.customers.update_async(customer.id, {"name": "y"})
    assert (await v1.customers.retrieve_async(customer.id)).name == "x"
    assert (await v1.customers.delete_async(customer.id)).deleted


async def test_faults_strike_as_often_as_they_should(sandbox, call):
    async def statuses(number):
        return [(await call("GET", "/v1/customers"))[0] for _ in range(number)]

    sandbox.faults.add(Fault(kind=FaultKind.RATE_LIMITED))
    assert await statuses(2) == [429, 200]
    sandbox.faults.add(Fault(kind=FaultKind.RATE_LIMITED, count=2))
    assert await statuses(3) == [429, 429, 200]
    sandbox.faults.add(Fault(kind=FaultKind.RATE_LIMITED, probability=1.0))
    assert await statuses(3) == [429, 429, 429]
    sandbox.faults.clear()
    assert await statuses(1) == [200]


async def test_probability_repeats_with_the_seed(sandbox, call):
    async def statuses(seed):
        sandbox.faults.clear()
        sandbox.faults.add(Fault(kind=FaultKind.RATE_LIMITED, probability=0.5, seed=seed))
        return [(await call("GET", "/v1/customers"))[0] for _ in range(16)]

    first = await statuses(1)
    assert {200, 429} == set(first)
    assert await statuses(1) == first
    assert await statuses(2) != first


async def test_faults_spare_refused_credentials(sandbox, call):
    sandbox.faults.add(Fault(kind=FaultKind.SERVER_ERROR))
    assert (await call("GET", "/v1/customers", Authorization="Bearer no"))[0] == 401
    assert (await call("GET", "/v1/customers"))[0] == 500


@pytest.mark.parametrize(
    "options",
    [
        {"count": 0},
        {"probability": 0.0},
        {"probability": 1.5},
        {"retry_after": -1},
        {"reason": "a\r\nSet-Cookie: b"},
        {"effect": True},
        {"event_type": "customer.created"},
        {"copies": 3},
    ],
)
def test_faults_that_make_no_sense(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Fault(kind=FaultKind.RATE_LIMITED, **options)


async def test_refusals_are_dropped_too(sandbox, call):
    sandbox.faults.add(Fault(kind=FaultKind.DROP_ANSWER))
    with pytest.raises(aiohttp.ClientError):
        await call("POST", "/v1/customers", b"{}", Content_Type="application/json")
