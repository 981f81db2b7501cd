"""The sandbox serves simple-salesforce, a client that is independent of this project."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceMalformedRequest,
    SalesforceResourceNotFound,
)

from zenskar_salesforce.sandbox import ConnectedApp, SalesforceSandbox

pytestmark = pytest.mark.peer
USER = "integration@example.com"
OWN = "01a20314-5e03-76b9-881e-849ddccd441f"


class Local(HTTPAdapter):
    """Sends requests for Salesforce's hosts to a sandbox; the client knows only HTTPS."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    def send(self, request: Any, *options: Any, **named: Any) -> requests.Response:
        path = request.url.split("/", 3)[3]
        request.url = f"{self._address}/{path}"
        return super().send(request, *options, **named)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    encoding, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    return key.private_bytes(encoding, form, no_password).decode()


def public(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


@pytest.fixture
async def sandbox(key: rsa.RSAPrivateKey) -> AsyncIterator[SalesforceSandbox]:
    app = ConnectedApp("client", "secret", USER, public(key))
    async with SalesforceSandbox(app=app) as running:
        yield running


@pytest.fixture
def session(sandbox: SalesforceSandbox) -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.mount("https://", Local(sandbox.base_url))
        yield made


async def in_thread(work: Callable[..., Any], **given: Any) -> Any:
    return await asyncio.to_thread(work, **given)


def log_in(session: requests.Session, **changes: Any) -> Salesforce:
    given = {"domain": "acme.my", "consumer_key": "client", "consumer_secret": "secret"}
    return Salesforce(session=session, version="66.0", **{**given, **changes})


def use(session: requests.Session) -> None:
    salesforce = log_in(session)
    made = salesforce.Contact.create({"LastName": "Lovelace", "Zenskar_Id__c": OWN})
    assert made["success"]
    identifier = made["id"]
    with pytest.raises(SalesforceMalformedRequest) as caught:
        salesforce.Contact.create({"LastName": "Twin", "Zenskar_Id__c": OWN})
    assert caught.value.content[0]["errorCode"] == "DUPLICATE_VALUE"
    assert salesforce.Contact.update(identifier, {"FirstName": "Ada"}) == 204
    assert salesforce.Contact.get(identifier)["Name"] == "Ada Lovelace"
    assert salesforce.Contact.upsert(f"Zenskar_Id__c/{OWN}", {"Phone": "1"}) == 200
    assert salesforce.Contact.get_by_custom_id("Zenskar_Id__c", OWN)["Phone"] == "1"
    for number in range(4):
        salesforce.Contact.create({"LastName": f"n{number}"})
    found = salesforce.query_all("SELECT Id, LastName FROM Contact ORDER BY LastName")
    assert [each["LastName"] for each in found["records"]] == ["Lovelace", "n0", "n1", "n2", "n3"]
    assert salesforce.Contact.delete(identifier) == 204
    with pytest.raises(SalesforceResourceNotFound):
        salesforce.Contact.get(identifier)
    everything = salesforce.query(
        f"SELECT IsDeleted FROM Contact WHERE Id = '{identifier}'", include_deleted=True
    )
    assert everything["records"][0]["IsDeleted"] is True
    assert salesforce.api_usage["api-usage"].used > 0
    assert len(salesforce.Contact.describe()["fields"]) > 10


async def test_it_creates_reads_updates_upserts_pages_and_deletes(
    sandbox: SalesforceSandbox, session: requests.Session
) -> None:
    sandbox.habits.page_rows = 2
    await in_thread(use, session=session)
    assert [row["LastName"] for row in sandbox.living] == ["n0", "n1", "n2", "n3"]


@pytest.mark.filterwarnings("ignore::UserWarning")
async def test_it_logs_in_with_a_signed_assertion(
    key: rsa.RSAPrivateKey, session: requests.Session
) -> None:
    def check(private: str, name: str = USER) -> Any:
        given = {"username": name, "privatekey": private, "consumer_secret": None}
        return log_in(session, domain="login", **given).limits()

    assert "DailyApiRequests" in await in_thread(lambda: check(pem(key)))
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with pytest.raises(SalesforceAuthenticationFailed):
        await in_thread(lambda: check(pem(other)))
    with pytest.raises(SalesforceAuthenticationFailed, match="approved"):
        await in_thread(lambda: check(pem(key), "eve@example.com"))


async def test_it_is_refused_with_a_wrong_secret(session: requests.Session) -> None:
    with pytest.raises(SalesforceAuthenticationFailed, match="invalid_client"):
        await in_thread(lambda: log_in(session, consumer_secret="wrong"))
