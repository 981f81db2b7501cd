"""A signed event that cannot be applied is kept with its reason, and can be read again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.support.api import Api, body_of, event, open_api, problem_of
from tests.support.fake import FakeIntegration
from tests.support.flow import Flow, open_flow
from zenskar import ExternalObject, InvalidInput, WebhookEvent, WebhookRequest
from zenskar.errors import Unavailable
from zenskar.schema_catalog import Schema

ACTED = "SELECT status, reason, external_id, external_event_id FROM sync_events ORDER BY id"


def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse a webhook that is a list as one event for each item."""
    single = FakeIntegration.parse_webhook

    def parse(self: FakeIntegration, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:
        bodies = body if isinstance(body, list) else [body]
        return [event for each in bodies for event in single(self, request, each)]

    monkeypatch.setattr(FakeIntegration, "parse_webhook", parse)


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException, name: str = "bad") -> list[bool]:
    """Make the translation of one name fail while the returned list is not empty."""
    works, broken = FakeIntegration.to_canonical, [True]

    def to_canonical(self: FakeIntegration, seen: ExternalObject) -> Mapping[str, Any]:
        if broken and (seen.data or {}).get("name") == name:
            raise error
        return works(self, seen)

    monkeypatch.setattr(FakeIntegration, "to_canonical", to_canonical)
    return broken


def of(number: int, **values: Any) -> dict[str, Any]:
    body = event(f"evt_{number}", id=f"obj_{number}")
    return body | {"object": body["object"] | values}


async def letters(flow: Flow) -> list[dict[str, Any]]:
    return await flow.rows("SELECT * FROM sync_events WHERE status = 'dead' ORDER BY id")


async def retry_all(api: Api) -> None:
    await body_of(await api.client.post("/dead-letters/retry", json={"all": True}), 202)
    await api.flow.settle()


LARGE = 2**64 + 1


async def test_a_large_integer_that_is_not_synced_is_passed_on_exactly(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    works, read = FakeIntegration.to_canonical, []

    def to_canonical(self: FakeIntegration, seen: ExternalObject) -> Mapping[str, Any]:
        read.append((seen.data or {}).get("amount"))
        return works(self, seen)

    monkeypatch.setattr(FakeIntegration, "to_canonical", to_canonical)
    async with open_api(database_url, working=True) as api:
        assert await body_of(await api.webhook(of(1, amount=LARGE)), 200) == {"accepted": 1}
        await api.flow.settle()
        assert await api.flow.scalar("SELECT count(*) FROM customers") == 1
    assert set(read) == {LARGE}


@pytest.mark.parametrize(
    ("values", "place"),
    [({"name": LARGE}, "/name"), ({"metadata": {"size": LARGE}}, "/metadata/size")],
)
async def test_a_large_integer_that_is_synced_is_a_dead_letter_with_its_place(
    database_url: str, values: dict[str, Any], place: str
) -> None:
    async with open_api(database_url) as api:
        assert await body_of(await api.webhook(of(1, **values)), 200) == {"accepted": 0, "dead": 1}
        (letter,) = await letters(api.flow)
        assert place in letter["error_message"]


async def test_a_large_time_is_a_dead_letter_with_its_place(database_url: str) -> None:
    async with open_api(database_url) as api:
        body = of(1) | {"at": 2**70}
        assert await body_of(await api.webhook(body), 200) == {"accepted": 0, "dead": 1}
        (letter,) = await letters(api.flow)
        assert "/data/occurred/0: has too many digits" in letter["error_message"]


UNUSABLE = {
    "a value of another type": {"name": ["secret"]},
    "an id that is too long": {"id": "o" * 513},
    "an id with NUL": {"id": "obj\0"},
    "an id with half a pair": {"id": "obj\ud800"},
    "an id that is empty": {"id": ""},
}


@pytest.mark.parametrize("values", UNUSABLE.values(), ids=UNUSABLE)
async def test_an_event_that_cannot_be_applied_is_a_dead_letter_and_the_rest_is_taken(
    database_url: str, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]
) -> None:
    many(monkeypatch)
    async with open_api(database_url, working=True) as api:
        body = [of(1), of(2, **values), of(3)]
        assert await body_of(await api.webhook(body), 200) == {"accepted": 2, "dead": 1}
        await api.flow.settle()
        assert await api.flow.scalar("SELECT count(*) FROM customers") == 2
        (letter,) = await letters(api.flow)
        assert (letter["reason"], letter["error_kind"]) == ("invalid_object", "rejected")
        assert letter["external_event_id"] == "evt_2"
        assert "/" in letter["error_message"]
        assert "secret" not in letter["error_message"]
        assert await body_of(await api.webhook(body), 200) == {"accepted": 2, "dead": 1}
        await api.flow.settle()
        assert len(await letters(api.flow)) == 1
        shown = await api.client.get(f"/dead-letters/{letter['id']}")
        assert "secret" not in await shown.text()
        await retry_all(api)
        (again,) = await letters(api.flow)
        assert (again["id"], again["reason"]) == (letter["id"], "invalid_object")


@pytest.mark.parametrize(
    ("error", "kind"), [(ZeroDivisionError("secret"), "bug"), (SystemExit(3), "bug"),
                        (InvalidInput("secret"), "rejected")],
)  # fmt: skip
async def test_what_a_plugin_could_not_translate_is_applied_once_that_is_mended(
    database_url: str, monkeypatch: pytest.MonkeyPatch, error: BaseException, kind: str
) -> None:
    many(monkeypatch)
    broken = failing(monkeypatch, error)
    async with open_api(database_url, working=True) as api:
        body = [of(1, name="bad", metadata={"a": "\0"}), of(2)]
        assert await body_of(await api.webhook(body), 200) == {"accepted": 1, "dead": 1}
        await api.flow.settle()
        (letter,) = await letters(api.flow)
        assert (letter["error_kind"], letter["external_id"]) == (kind, "obj_1")
        assert "secret" not in letter["error_message"]
        broken.clear()
        await retry_all(api)
        assert await letters(api.flow) == []
        (found,) = await api.flow.rows("SELECT * FROM customers WHERE name = 'bad'")
        assert found["metadata"] == {"a": "\ufffd"}
        (ended,) = await api.flow.rows("SELECT * FROM sync_events WHERE id = :i", i=letter["id"])
        assert (ended["status"], ended["reason"]) == ("succeeded", "created")


async def test_what_was_dead_is_applied_when_the_sender_comes_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = failing(monkeypatch, ZeroDivisionError())
    async with open_api(database_url, working=True) as api:
        await body_of(await api.webhook(of(1, name="bad")), 200)
        broken.clear()
        await body_of(await api.webhook(of(1, name="bad")), 200)
        await api.flow.settle()
        (found,) = await api.flow.rows(ACTED)
        assert (found["status"], found["reason"]) == ("succeeded", "created")


async def test_a_webhook_that_cannot_be_taken_apart_is_kept_without_secrets(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    works, broken = FakeIntegration.parse_webhook, [True]

    def parse(self: FakeIntegration, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:
        if broken:
            raise KeyError("secret")
        assert request.headers["content-type"] == "application/json"
        return works(self, request, body)

    monkeypatch.setattr(FakeIntegration, "parse_webhook", parse)
    async with open_api(database_url, working=True) as api:
        body = of(1, name="a\ud800")
        for _ in range(2):
            assert await body_of(await api.webhook(body), 200) == {"accepted": 0, "dead": 1}
        (letter,) = await letters(api.flow)
        assert (letter["reason"], letter["error_kind"]) == ("invalid_webhook", "bug")
        assert letter["error_message"] == "KeyError in the integration of fake"
        assert "x-signature" not in letter["payload"]
        await retry_all(api)
        assert len(await letters(api.flow)) == 1
        broken.clear()
        await retry_all(api)
        assert [(e["status"], e["reason"]) for e in await api.flow.rows(ACTED)] == [
            ("ignored", "republished"),
            ("succeeded", "created"),
        ]
        assert await api.flow.scalar("SELECT name FROM customers") == "a\ufffd"


async def test_a_webhook_that_breaks_its_schema_is_kept_unless_it_is_not_signed(
    database_url: str,
) -> None:
    async with open_api(database_url) as api:
        plugin = api.flow.runtime.connections["fake"].plugin
        strict = {"type": "object", "required": ["nothing"]}
        schemas = {"webhook_event": Schema("webhook_event", strict)}
        api.flow.runtime.connections["fake"] = replace(  # type: ignore[index]
            api.flow.runtime.connections["fake"], plugin=replace(plugin, schemas=schemas)
        )
        await problem_of(await api.webhook(of(1), signature="bad"), 400)
        assert await letters(api.flow) == []
        assert await body_of(await api.webhook(of(1)), 200) == {"accepted": 0, "dead": 1}
        (letter,) = await letters(api.flow)
        assert letter["error_message"] == "webhook_event is not valid: /nothing: is required"


async def test_an_invalid_item_of_an_array_stops_no_other(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    works, broken = FakeIntegration.parse_webhook, [True]

    def parse(self: FakeIntegration, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:
        if broken and body["id"] == "evt_7":
            raise KeyError("secret")
        return works(self, request, body)

    monkeypatch.setattr(FakeIntegration, "parse_webhook", parse)
    monkeypatch.setattr(FakeIntegration, "webhook_items", True)
    async with open_api(database_url, working=True) as api:
        plugin = api.flow.runtime.connections["fake"].plugin
        schemas = {"webhook_event": Schema("webhook_event", {"required": ["object"]})}
        api.flow.runtime.connections["fake"] = replace(  # type: ignore[index]
            api.flow.runtime.connections["fake"], plugin=replace(plugin, schemas=schemas)
        )
        body = [of(number) for number in range(20)]
        del body[3]["object"]
        for _ in range(2):
            assert await body_of(await api.webhook(body), 200) == {"accepted": 18, "dead": 2}
            await api.flow.settle()
        assert await api.flow.scalar("SELECT count(*) FROM customers") == 18
        found = [(each["reason"], each["error_kind"]) for each in await letters(api.flow)]
        assert found == [("invalid_webhook", "rejected"), ("invalid_webhook", "bug")]
        broken.clear()
        await retry_all(api)
        (letter,) = await letters(api.flow)
        assert letter["error_message"] == "webhook_event is not valid: /object: is required"
        assert await api.flow.scalar("SELECT count(*) FROM customers") == 19
        assert await body_of(await api.webhook([]), 200) == {"accepted": 0}


async def test_what_may_be_read_later_is_asked_for_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(self: FakeIntegration, error: Exception) -> Any:
        raise Unavailable("the plugin loads")

    monkeypatch.setattr(FakeIntegration, "classify_error", away)
    many(monkeypatch)
    failing(monkeypatch, OSError())
    async with open_api(database_url) as api:
        await problem_of(await api.webhook([of(1), of(2, name="bad")]), 503)
        assert await letters(api.flow) == []
        assert await api.flow.scalar("SELECT count(*) FROM outbox") == 0


async def test_events_of_one_webhook_that_share_an_id_both_count(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    many(monkeypatch)
    async with open_api(database_url, working=True) as api:
        body = [of(1), of(1, id="obj_2", name="Eve"), of(1), of(3)]
        for _ in range(2):
            assert await body_of(await api.webhook(body), 200) == {"accepted": 3}
            await api.flow.settle()
        found = await api.flow.rows(ACTED)
        assert [row["external_event_id"] for row in found] == ["evt_1", "evt_1#2", "evt_3"]
        assert {row["status"] for row in found} == {"succeeded"}
        assert await api.flow.scalar("SELECT count(*) FROM customers") == 3
        told = [line for line in capsys.readouterr().out.splitlines() if "event_id_shared" in line]
        assert len(told) == 2
        later = of(1, id="obj_9")
        assert await body_of(await api.webhook(later), 200) == {"accepted": 1}
        await api.flow.settle()
        assert len(await api.flow.rows(ACTED)) == 3


async def test_two_states_of_one_object_in_one_webhook_are_applied_in_order(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(monkeypatch)
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        external_id = system.create(name="Ada")
        first = json.loads(system.webhooks.pop().body)
        system.edit(external_id, name="Eve")
        second = json.loads(system.webhooks.pop().body) | {"id": first["id"], "at": first["at"] + 5}
        request = WebhookRequest({"x-signature": "good"}, json.dumps([first, second]).encode(), 0)
        assert await flow.runtime.ingress.accept("fake", request, "test") == (2, 0)
        await flow.settle()
        assert await flow.scalar("SELECT name FROM customers") == "Eve"
