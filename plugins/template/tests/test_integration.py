"""The integration against the imaginary CRM, beyond the checks of test_conformance.py."""

import json
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any

import jsonschema_rs
import pytest

from zenskar import (
    BadSignature,
    Change,
    Connection,
    FailureKind,
    IntentKind,
    Interval,
    Push,
    PushResult,
    WebhookRequest,
)
from zenskar.http import HttpAnswer, HttpError
from zenskar.http.lookalike import SignedWebhook
from zenskar_template import FIELDS, TemplateIntegration

from .crm import Crm

NOW = 1_800_000_000
DOCUMENT = {
    "name": "Ada 😀",
    "email": "ada@example.com",
    "phone": "+91 20 1234",
    "address": {"line1": "1", "line2": "2", "city": "Pune", "country": "IN"},
    "metadata": {"tier": "gold"},
}


def closed(**settings: str) -> TemplateIntegration:
    given = {"api_base": "https://crm.invalid", "api_key": "key", "webhook_secret": "secret"}
    return TemplateIntegration(Connection("crm", {**given, **settings}))


@pytest.fixture
async def crm() -> AsyncIterator[Crm]:
    async with Crm(clock=lambda: NOW) as running:
        yield running


@pytest.fixture
async def integration(crm: Crm) -> AsyncIterator[TemplateIntegration]:
    opened = TemplateIntegration(Connection("crm", crm.settings))
    await opened.open()
    yield opened
    await opened.close()


async def send(
    integration: TemplateIntegration,
    kind: IntentKind,
    patch: dict[str, Any],
    external_id: str | None = None,
) -> PushResult:
    body = integration.from_canonical(Change(kind, "customer", "rec_1", patch, {}))
    return await integration.push(Push(kind, "customer", "rec_1", external_id, body))


def arrived(sent: SignedWebhook, at: float = NOW, **headers: str) -> WebhookRequest:
    lower = {name.lower(): value for name, value in sent.headers.items()}
    return WebhookRequest({**lower, **headers}, sent.body, at)


def valid(name: str, document: Any) -> bool:
    text = files("zenskar_template").joinpath(f"schemas/{name}.schema.json").read_text()
    return jsonschema_rs.validator_for(json.loads(text)).is_valid(document)


def test_both_translations_undo_each_other() -> None:
    FIELDS.check_round_trip()


async def test_every_webhook_of_the_crm_is_taken(
    integration: TemplateIntegration, crm: Crm
) -> None:
    contact = crm.add(full_name="Ada", external_ref="rec_1")
    crm.edit(contact, full_name="Eve")
    crm.remove(contact)
    names = []
    for sent in map(crm.genuine, crm.events):
        body = json.loads(sent.body)
        assert valid("webhook_event", body)
        integration.verify_webhook(arrived(sent))
        (event,) = integration.parse_webhook(arrived(sent), body)
        assert event.occurred == Interval(NOW * 1_000_000, NOW * 1_000_000 + 999)
        assert event.seen is not None
        assert (event.seen.external_id, event.seen.record_id) == (contact, "rec_1")
        names.append(event.seen.data and integration.to_canonical(event.seen)["name"])
    assert names == ["Ada", "Eve", None]


async def test_other_events_are_ignored(integration: TemplateIntegration, crm: Crm) -> None:
    body = {"id": "e_1", "type": "contact.note.created", "at": 1}
    assert valid("webhook_event", body)
    (event,) = integration.parse_webhook(arrived(crm.genuine(body)), body)
    assert (event.seen, event.ignored) == (None, "unknown_type")


async def test_a_signed_timestamp_that_is_no_number() -> None:
    crm = Crm(clock=lambda: -1)
    with pytest.raises(BadSignature, match="number"):
        closed(webhook_secret=crm.secret).verify_webhook(arrived(crm.genuine({}), 0))


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"id": "e_1", "type": "contact.created", "at": 1},
        {"id": "e_1", "type": "contact.created", "at": 1, "contact": {"id": ".."}},
        {"id": "e_1", "type": "contact.created", "at": 10**30, "contact": {"id": "c_1"}},
    ],
)
def test_a_body_that_is_no_event(body: Any) -> None:
    assert not valid("webhook_event", body)


async def test_a_deleted_contact_is_gone(integration: TemplateIntegration) -> None:
    made = (await send(integration, IntentKind.CREATE, DOCUMENT)).seen
    gone = (await send(integration, IntentKind.DELETE, {}, made.external_id)).seen
    assert (gone.data, gone.record_id) == (None, "rec_1")
    with pytest.raises(HttpError) as missing:
        await integration.fetch("customer", made.external_id)
    assert kind(integration, missing.value) is FailureKind.GONE


async def test_a_second_create_of_a_record_is_refused(integration: TemplateIntegration) -> None:
    await send(integration, IntentKind.CREATE, DOCUMENT)
    with pytest.raises(HttpError) as taken:
        await send(integration, IntentKind.CREATE, DOCUMENT)
    assert kind(integration, taken.value) is FailureKind.UNKNOWN_OUTCOME


async def test_health(integration: TemplateIntegration, crm: Crm) -> None:
    assert (await integration.health()).ok
    crm.api_key = "another"
    with pytest.raises(HttpError) as refused:
        await integration.health()
    assert kind(integration, refused.value) is FailureKind.CREDENTIALS


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, FailureKind.REJECTED), (409, FailureKind.UNKNOWN_OUTCOME)],
)
def test_statuses_of_the_crm_alone(status: int, expected: FailureKind) -> None:
    assert kind(closed(), HttpError("POST", HttpAnswer(status))) is expected


def test_other_errors() -> None:
    assert kind(closed(), KeyError("id")) is None


async def test_an_update_needs_an_external_id() -> None:
    with pytest.raises(ValueError, match="external id"):
        await send(closed(), IntentKind.UPDATE, {"name": "Eve"})


def kind(integration: TemplateIntegration, error: Exception) -> FailureKind | None:
    failure = integration.classify_error(error)
    return failure.kind if failure else None
