"""The account of a key, which a connection remembers."""

from pathlib import Path

import pytest
from aiohttp import web

from zenskar_stripe import StripeIntegration
from zenskar_stripe.sandbox import StripeSandbox

from .conftest import KEY, Open, Serve

REFUSED = (
    "The provided key 'rk_live_***' does not have the required permissions for this endpoint on "
    "account 'acct_1Own'. Having the 'rak_accounts_kyc_basic_read' permission would allow this "
    "request to continue."
)


async def test_the_account_and_its_mode_are_named(stripe: StripeIntegration) -> None:
    name = await stripe.account()
    assert name is not None
    assert name.startswith("acct_1")
    assert name.endswith(" (test)")


async def test_a_sandbox_keeps_its_account_and_shares_it_with_no_other(
    opened: Open, tmp_path: Path
) -> None:
    names = []
    for store in ("one.db", "one.db", "two.db"):
        async with StripeSandbox(api_key=KEY, store_path=tmp_path / store) as sandbox:
            names.append(await (await opened(api_base=sandbox.base_url)).account())
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize(
    ("key", "expected"), [("rk_live_x", "acct_1Own (live)"), ("rk_test_x", "acct_1Own (test)")]
)
async def test_the_refusal_of_a_restricted_key_names_the_account(
    opened: Open, served: Serve, key: str, expected: str
) -> None:
    async def refuse(_request: web.Request) -> web.Response:
        error = {"type": "invalid_request_error", "message": REFUSED}
        return web.json_response({"error": error}, status=403)

    integration = await opened(api_base=await served(refuse), api_key=key)
    assert await integration.account() == expected


@pytest.mark.parametrize("status", [403, 404])
async def test_an_account_that_is_not_told_is_none(
    opened: Open, served: Serve, status: int
) -> None:
    async def refuse(_request: web.Request) -> web.Response:
        error = {"type": "invalid_request_error", "message": "no"}
        return web.json_response({"error": error}, status=status)

    assert await (await opened(api_base=await served(refuse))).account() is None
