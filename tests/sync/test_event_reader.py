"""Events without an id or a time, and events that name an object."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.support.fake import FakeIntegration, FakeSystem
from tests.support.flow import open_flow
from zenskar import ExternalObject, Interval, ObjectRef, WebhookEvent, WebhookRequest
from zenskar.sync.event_reader import complete, with_unique_ids

SENT = Interval.of_second(1_700_000_000)
ADA = ExternalObject("customer", "x", {"name": "Ada"})
SHOWN = WebhookEvent(None, "changed", SENT, ADA)
NAMED = WebhookEvent(None, "changed", touched=ObjectRef("customer", "x"))


def test_an_event_with_an_id_and_a_time_stays_as_it_is() -> None:
    event = replace(SHOWN, id="evt_1")
    assert complete(event, Interval(0, 1)) is event


def test_the_same_content_has_the_same_id_whenever_it_was_sent() -> None:
    first, second = complete(SHOWN, SENT), complete(replace(SHOWN, sent_at=9), Interval(0, 1))
    assert first.id == second.id is not None


@pytest.mark.parametrize(
    "other",
    [
        replace(SHOWN, type="other"),
        replace(SHOWN, occurred=Interval(0, 1)),
        replace(SHOWN, seen=replace(ADA, external_id="y")),
        replace(SHOWN, seen=replace(ADA, data={"name": "Eve"})),
        replace(SHOWN, seen=replace(ADA, data=None)),
    ],
)
def test_other_content_has_another_id(other: WebhookEvent) -> None:
    assert complete(other, SENT).id != complete(SHOWN, SENT).id


def test_equal_events_that_name_an_object_are_different_events() -> None:
    first, second = complete(NAMED, SENT), complete(NAMED, SENT)
    assert first.id != second.id
    assert first.occurred == second.occurred == SENT


def test_a_state_gets_no_time_that_nobody_reported() -> None:
    assert complete(replace(SHOWN, occurred=None), SENT).occurred is None


def test_events_of_one_webhook_without_ids_stay_apart() -> None:
    other = replace(NAMED, touched=ObjectRef("customer", "y"))
    assert with_unique_ids([NAMED, other, NAMED], "fake", "test") == [NAMED, other]


async def accepted(database_url: str, monkeypatch: pytest.MonkeyPatch, event: WebhookEvent) -> str:
    """Receive a webhook with this event; return the error of its dead letter."""

    def parse(*_: object, **__: object) -> Sequence[WebhookEvent]:
        return [event]

    monkeypatch.setattr(FakeIntegration, "parse_webhook", parse)
    return await received(database_url)


async def received(database_url: str) -> str:
    system = FakeSystem()
    async with open_flow(database_url, systems={"fake": system}, working=False) as flow:
        request = WebhookRequest({"x-signature": "good"}, b"{}", 1_700_000_000)
        stored = await flow.runtime.ingress.accept("fake", request, "test")
        assert stored.dead == 1
        (letter,) = await flow.events("inbound")
        assert letter["status"] == "dead"
        return str(letter["error_message"])


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (replace(NAMED, seen=ADA, occurred=SENT), "both shows and names"),
        (replace(NAMED, touched=ObjectRef("order", "x")), "entity type"),
        (replace(NAMED, touched=ObjectRef("customer", "")), "/external_id"),
        (replace(SHOWN, occurred=None), "`occurred`"),
        (replace(SHOWN, type="chan\0ged"), "/type"),
        (replace(SHOWN, id="evt\0"), "/data/external_event_id"),
        (replace(SHOWN, origin_key="k\0"), "/data/origin_key"),
        (replace(SHOWN, changed=("/name\0",)), "/data/changed/0"),
        (replace(SHOWN, seen=replace(ADA, record_id="r\0")), "/data/object/record_id"),
    ],
)
async def test_an_event_that_cannot_be_applied_is_a_dead_letter_that_says_why(
    database_url: str, monkeypatch: pytest.MonkeyPatch, event: WebhookEvent, problem: str
) -> None:
    assert problem in await accepted(database_url, monkeypatch, event)


async def test_a_parser_that_must_be_awaited_is_named_with_its_alternative(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def parse(*_: object, **__: object) -> Sequence[WebhookEvent]:
        return []

    monkeypatch.setattr(FakeIntegration, "parse_webhook", lambda *_, **__: parse())
    problem = await received(database_url)
    assert "parse_webhook is a coroutine" in problem
    assert "`touched`" in problem
