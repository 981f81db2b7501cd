"""The integration against the imaginary CRM."""

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
from zenskar.http import HttpAnswer, HttpError, NoAnswer
from zenskar_template import FIELDS, TemplateIntegration

from .crm import Crm, SentWebhook

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


def arrived(sent: SentWebhook, at: float = NOW, **headers: str) -> WebhookRequest:
    lower = {name.lower(): value for name, value in sent.headers.items()}
    return WebhookRequest({**lower, **headers}, sent.body, at)


def plain(document: Any) -> Any:
    """Only what holds something."""
    if not isinstance(document, dict):
        return document
    return {key: plain(value) for key, value in document.items() if value and plain(value)}


def valid(name: str, document: Any) -> bool:
    text = files("zenskar_template").joinpath(f"schemas/{name}.schema.json").read_text()
    return jsonschema_rs.validator_for(json.loads(text)).is_valid(document)


def test_both_translations_undo_each_other() -> None:
    FIELDS.check_round_trip()


async def test_the_life_of_a_contact(integration: TemplateIntegration) -> None:
    made = (await send(integration, IntentKind.CREATE, DOCUMENT)).seen
    assert plain(integration.to_canonical(made)) == DOCUMENT
    assert made.record_id == "rec_1"
    assert valid("customer", made.data)
    patch = {"name": "Eve", "phone": None, "address": None, "metadata": {"tier": None, "a": "b"}}
    changed = (await send(integration, IntentKind.UPDATE, patch, made.external_id)).seen
    wanted = {"name": "Eve", "email": "ada@example.com", "metadata": {"a": "b"}}
    assert plain(integration.to_canonical(changed)) == wanted
    assert await integration.fetch("customer", made.external_id) == changed
    gone = (await send(integration, IntentKind.DELETE, {}, made.external_id)).seen
    assert (gone.data, gone.record_id) == (None, "rec_1")
    with pytest.raises(HttpError) as missing:
        await integration.fetch("customer", made.external_id)
    assert kind(integration, missing.value) is FailureKind.GONE


async def test_every_webhook_of_the_crm_is_taken(
    integration: TemplateIntegration, crm: Crm
) -> None:
    contact = await crm.add(full_name="Ada", external_ref="rec_1")
    await crm.edit(contact, full_name="Eve")
    await crm.remove(contact)
    names = []
    for sent in crm.sent:
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
    (event,) = integration.parse_webhook(arrived(crm.signed(body)), body)
    assert (event.seen, event.ignored) == (None, "unknown_type")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-signature": ""},
        {"x-signature": "sha256=é\udcff"},
        {"x-signature": f"sha256={'0' * 64}"},
        {"x-timestamp": ""},
        {"x-timestamp": "9" * 5000},
        {"x-timestamp": str(NOW + 1)},
    ],
)
async def test_a_forged_webhook(crm: Crm, headers: dict[str, str]) -> None:
    integration = TemplateIntegration(Connection("crm", crm.settings))
    with pytest.raises(BadSignature):
        integration.verify_webhook(arrived(crm.signed({}), NOW, **headers))


@pytest.mark.parametrize("at", [NOW - 301, NOW + 301, float("nan")])
async def test_a_replayed_webhook(crm: Crm, at: float) -> None:
    integration = TemplateIntegration(Connection("crm", crm.settings))
    integration.verify_webhook(arrived(crm.signed(b"\xff"), NOW))
    with pytest.raises(BadSignature, match="timestamp"):
        integration.verify_webhook(arrived(crm.signed(b"\xff"), at))


async def test_a_signed_timestamp_that_is_no_number() -> None:
    crm = Crm(clock=lambda: -1)
    with pytest.raises(BadSignature, match="number"):
        closed(webhook_secret=crm.secret).verify_webhook(arrived(crm.signed({}), 0))


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


async def test_pages_hold_every_contact_once(integration: TemplateIntegration, crm: Crm) -> None:
    made = [await crm.add() for _ in range(201)]
    found: list[str] = []
    cursor = None
    for _ in range(3):
        page = await integration.list_page("customer", cursor)
        found += [each.external_id for each in page.objects]
        cursor = page.next_cursor
    assert (found, cursor) == (made, None)


async def test_a_create_with_a_lost_answer_is_found(
    integration: TemplateIntegration, crm: Crm
) -> None:
    crm.lose_answers = 1
    with pytest.raises(NoAnswer) as lost:
        await send(integration, IntentKind.CREATE, DOCUMENT)
    assert kind(integration, lost.value) is FailureKind.UNKNOWN_OUTCOME
    with pytest.raises(HttpError) as taken:
        await send(integration, IntentKind.CREATE, DOCUMENT)
    assert kind(integration, taken.value) is FailureKind.UNKNOWN_OUTCOME
    found = await integration.find("customer", "rec_1")
    assert found is not None
    assert [found.external_id] == list(crm.contacts)
    assert await integration.find("customer", "rec_2") is None


async def test_health(integration: TemplateIntegration, crm: Crm) -> None:
    assert (await integration.health()).ok
    crm.api_key = "another"
    with pytest.raises(HttpError) as refused:
        await integration.health()
    assert kind(integration, refused.value) is FailureKind.CREDENTIALS


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, FailureKind.REJECTED),
        (403, FailureKind.CREDENTIALS),
        (404, FailureKind.NOT_VISIBLE),
        (409, FailureKind.UNKNOWN_OUTCOME),
        (410, FailureKind.GONE),
        (429, FailureKind.RATE_LIMITED),
        (503, FailureKind.UNKNOWN_OUTCOME),
    ],
)
def test_every_status_says_what_to_do_next(status: int, expected: FailureKind) -> None:
    error = HttpError("POST", HttpAnswer(status, {"error": "ada@example.com"}))
    assert kind(closed(), error) is expected
    assert "ada" not in repr(closed().classify_error(error))


def test_other_errors() -> None:
    assert kind(closed(), TimeoutError()) is FailureKind.UNKNOWN_OUTCOME
    assert kind(closed(), KeyError("id")) is None


async def test_an_update_needs_an_external_id() -> None:
    with pytest.raises(ValueError, match="external id"):
        await send(closed(), IntentKind.UPDATE, {"name": "Eve"})


def kind(integration: TemplateIntegration, error: Exception) -> FailureKind | None:
    failure = integration.classify_error(error)
    return failure.kind if failure else None
