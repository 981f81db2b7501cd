"""Values that Stripe refuses are refused before a customer is stored, or fit anyway."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.e2e.stack import API_KEY, SECRET, Stack, open_stack
from zenskar_stripe.sandbox import StripeSandbox

ADA = {"name": "Ada", "email": "ada@example.com"}
KEYS = {f"key {number}": "value" for number in range(50)}


@pytest.fixture
async def stripe() -> AsyncIterator[StripeSandbox]:
    async with StripeSandbox(api_key=API_KEY) as sandbox:
        yield sandbox


async def refused(stack: Stack, method: str, path: str, body: Any) -> list[dict[str, str]]:
    async with stack.http.request(method, f"{stack.address}{path}", json=body) as response:
        problem = await response.json()
        assert response.status == 422, problem
        errors: list[dict[str, str]] = problem["errors"]
        return errors


BROKEN = {
    "phone of 21": ({"phone": "1" * 21}, "/phone", "must have at most 20 characters"),
    "phone of 64": ({"phone": "+" + "1" * 63}, "/phone", "must have at most 20 characters"),
    "no domain": ({"email": "ada@com"}, "/email", "characters that are not allowed"),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_the_connection_is_named_before_anything_is_stored(
    broken: str, database_url: str, stripe: StripeSandbox
) -> None:
    change, pointer, told = BROKEN[broken]
    async with open_stack(database_url, stripe.base_url) as stack:
        (error,) = await refused(stack, "POST", "/customers", {**ADA, **change})
        assert error["pointer"] == pointer
        assert told in error["message"]
        assert error["message"].endswith("for connection stripe")
        assert (await stack.ask("GET", "/customers"))["data"] == []
        created = await stack.create()
        path = f"/customers/{created['id']}"
        for method, body in (("PATCH", change), ("PUT", {**ADA, **change})):
            assert await refused(stack, method, path, body) == [error]


@pytest.mark.parametrize(
    "email", ["Ada <ada@example.com>", "<ada@example.com>", "ada@x.org, eve@x.org", "a b@x.org"]
)
async def test_a_display_name_is_no_part_of_an_address(
    email: str, database_url: str, stripe: StripeSandbox
) -> None:
    environment = {"STRIPE_ENFORCE_LIMITS": "false"}
    async with open_stack(database_url, stripe.base_url, environment) as stack:
        (error,) = await refused(stack, "POST", "/customers", {**ADA, "email": email})
        assert error["pointer"] == "/email"


async def test_limits_are_not_enforced_where_the_connection_says_so(
    database_url: str, stripe: StripeSandbox
) -> None:
    environment = {"STRIPE_ENFORCE_LIMITS": "false"}
    async with open_stack(database_url, stripe.base_url, environment) as stack:
        await stack.create(phone="1" * 21)
        await stack.settled()
        (event,) = await stack.events("status=dead")
        assert "parameter phone" in str(event)


async def test_what_a_change_leaves_alone_is_not_judged(
    database_url: str, stripe: StripeSandbox
) -> None:
    environment = {"STRIPE_ENFORCE_LIMITS": "false"}
    async with open_stack(database_url, stripe.base_url, environment) as stack:
        created = await stack.create(phone="1" * 21)
    async with open_stack(database_url, stripe.base_url) as stack:
        path = f"/customers/{created['id']}"
        patched = await stack.ask("PATCH", path, {"name": "Ada L"})
        assert (patched["name"], patched["phone"]) == ("Ada L", "1" * 21)


async def test_a_customer_with_all_metadata_keys_reaches_a_second_account(
    database_url: str, stripe: StripeSandbox
) -> None:
    async with StripeSandbox(api_key="sk_test_second", seed=2) as second:
        environment = {
            "ZENSKAR_CONNECTIONS": "stripe,second=stripe",
            "SECOND_API_KEY": "sk_test_second",
            "SECOND_WEBHOOK_SECRET": SECRET,
            "SECOND_API_BASE": second.base_url,
            "SECOND_RATE_LIMIT": "0",
        }
        async with open_stack(database_url, stripe.base_url, environment) as stack:
            stripe.add_webhook_endpoint(f"{stack.address}/webhooks/stripe", SECRET)
            second.add_webhook_endpoint(f"{stack.address}/webhooks/second", SECRET)
            made = stripe.dashboard.create({**ADA, "metadata": KEYS})
            record = await stack.named(ADA["email"])
            await stack.settled()
            (copy,) = second.dashboard.living()
            assert copy["metadata"] == KEYS
            assert copy["description"] == f"zenskar_id: {record['id']}"
            stripe.dashboard.update(made["id"], {"name": "Ada L"})
            await stack.field(record["id"], "name", "Ada L")
            await stack.settled()
            (copy,) = second.dashboard.living()
            assert (copy["name"], copy["metadata"]) == ("Ada L", KEYS)
            assert await stack.events("status=dead") == []
