"""Tokens of the integration: both flows, renewal, and the address of the answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from plugins.salesforce.tests.conftest import settings_for
from zenskar import CallFailed, Connection, FailureKind, InvalidInput
from zenskar_salesforce import SalesforceIntegration
from zenskar_salesforce.config import Config
from zenskar_salesforce.login import Login
from zenskar_salesforce.sandbox import ConnectedApp, SalesforceSandbox

USER = "integration@example.com"
DOMAIN = {"domain": "acme.my.salesforce.com", "client_id": "client"}
Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


def config(**settings: Any) -> Config:
    return Config.of(Connection("salesforce", {**DOMAIN, **settings}))


async def test_a_signed_assertion_opens_the_org() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain).decode()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.public_key().public_bytes(pem, form).decode()
    app = ConnectedApp("client", "unused", USER, public)
    async with SalesforceSandbox(app=app) as sandbox:
        given = settings_for(sandbox, client_secret=None, username=USER, private_key=private)
        salesforce = SalesforceIntegration(Connection("salesforce", given))
        assert await salesforce.account() == sandbox.org_id
        assert private.splitlines()[1] not in repr(vars(salesforce))
        await salesforce.close()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "CLIENT_SECRET"),
        ({"client_secret": "a", "username": "b", "private_key": "c"}, "not both"),
        ({"client_secret": "a", "username": "b"}, "need each other"),
        ({"client_secret": "a", "client_id": " "}, "CLIENT_ID"),
        ({"client_secret": "a", "domain": "http://acme.example"}, "TLS"),
        ({"client_secret": "a", "api_version": "66"}, "API_VERSION"),
        ({"client_secret": "a", "timeout_seconds": -1.0}, "TIMEOUT_SECONDS must be above 0"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        config(**settings)


def test_a_text_that_is_no_key_is_refused_without_its_text() -> None:
    with pytest.raises(InvalidInput, match="RSA") as caught:
        Login(config(username="a", private_key="-----BEGIN nonsense"))
    assert "nonsense" not in str(caught.value)


@pytest.mark.parametrize(
    ("domain", "audience"),
    [
        ("acme.my.salesforce.com", "https://login.salesforce.com"),
        ("https://acme--test.sandbox.my.salesforce.com/", "https://test.salesforce.com"),
    ],
)
def test_a_sandbox_org_has_another_audience(domain: str, audience: str) -> None:
    assert config(domain=domain, client_secret="a").audience == audience


async def test_fifty_calls_renew_a_revoked_token_once(
    sandbox: SalesforceSandbox, salesforce: SalesforceIntegration
) -> None:
    await salesforce.health()
    sandbox.tokens.revoke()
    await asyncio.gather(*(salesforce.find("customer", f"rec_{n}") for n in range(50)))
    assert sandbox.tokens.issued == 2


async def served(answer: Answering, work: Callable[[Login], Awaitable[Any]]) -> Any:
    app = web.Application()
    app.router.add_post("/services/oauth2/token", answer)
    async with TestServer(app) as server:
        base = str(server.make_url("")).rstrip("/")
        login = Login(config(domain=base, client_secret="a"))
        try:
            return await work(login)
        finally:
            await login.close()


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example",
        "https://salesforce.com.evil.example",
        "https://evilsalesforce.com",
        "http://acme.my.salesforce.com",
        "https://acme.my.salesforce.com/path",
        "https://user@acme.my.salesforce.com",
        "http://127.0.0.1:1",
        "",
        None,
    ],
)
async def test_a_token_is_not_sent_to_an_address_of_another_host(address: str | None) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response({"access_token": "secret-token", "instance_url": address})

    with pytest.raises(CallFailed) as caught:
        await served(answer, lambda login: login.renew())
    assert caught.value.failure.kind is FailureKind.CREDENTIALS
    assert "secret-token" not in str(caught.value)


async def test_the_address_of_the_answer_is_used_and_the_org_is_known() -> None:
    address = "https://acme--new.my.salesforce.com"

    async def answer(_: web.Request) -> web.StreamResponse:
        org = "https://login.salesforce.com/id/00D000000000001/005000000000001AAA"
        body = {"access_token": "token", "instance_url": address, "id": org}
        return web.json_response(body)

    async def work(login: Login) -> Any:
        return (await login.renew()).base, login.org_id

    assert await served(answer, work) == (address, "00D000000000001EAA")
