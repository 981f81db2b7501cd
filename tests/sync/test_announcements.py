"""Broadcast plugins are asked about changes, and learn of them after the commit alone."""

import json
from typing import Any

import pytest

from tests.support.api import ADA, body_of, open_api, problem_of
from tests.support.fake import FakeError
from tests.support.flow import Flow, open_flow
from tests.support.refuse import refuse
from tests.support.wait import until
from zenskar import (
    ConflictRecorded,
    ConnectionPaused,
    ConnectionResumed,
    DeadLetterAdded,
    FailureKind,
    Push,
    RecordChanged,
    Violation,
    hookimpl,
)
from zenskar.cli.render.event_text import event_text
from zenskar.plugins.discovery import Plugin


class Recorder:
    """Keeps every notice."""

    def __init__(self) -> None:
        self.notices: list[Any] = []

    @hookimpl
    def record_changed(self, notice: RecordChanged) -> None:
        self.notices.append(notice)

    @hookimpl
    def conflict_recorded(self, notice: ConflictRecorded) -> None:
        self.notices.append(notice)

    @hookimpl
    def dead_letter_added(self, notice: DeadLetterAdded) -> None:
        self.notices.append(notice)

    @hookimpl
    def connection_paused(self, notice: ConnectionPaused) -> None:
        self.notices.append(notice)

    @hookimpl
    def connection_resumed(self, notice: ConnectionResumed) -> None:
        self.notices.append(notice)

    async def wait_for(self, kind: type[Any], number: int = 1) -> list[Any]:
        async def found() -> list[Any] | None:
            own = [notice for notice in self.notices if isinstance(notice, kind)]
            return own if len(own) >= number else None

        return await until(found)


class NoEve:
    """Refuses one name."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Any, str]] = []

    @hookimpl
    def validate_record(self, document: Any, before: Any, origin: str) -> list[Violation]:
        self.asked.append((document.get("name"), before and before.get("name"), origin))
        return [Violation("/name", "is not welcome")] if document["name"] == "Eve" else []


def plugins(*broadcasts: object) -> dict[str, Plugin]:
    named = {type(each).__name__.lower(): each for each in broadcasts}
    return {n: Plugin(n, f"test-{n}", "1", broadcast=each) for n, each in named.items()}


async def violations(flow: Flow) -> list[dict[str, Any]]:
    history = await flow.rows("SELECT detail FROM sync_event_history WHERE detail IS NOT NULL")
    return [one for row in history for one in json.loads(row["detail"]).get("violations", ())]


async def test_the_api_refuses_a_change_that_breaks_a_rule(database_url: str) -> None:
    rules, recorder = NoEve(), Recorder()
    async with open_api(database_url, extra=plugins(rules, recorder)) as api:
        refused = await problem_of(
            await api.client.post("/customers", json={**ADA, "name": "Eve"}), 422
        )
        assert [(v["pointer"], v["message"]) for v in refused["errors"]] == [
            ("/name", "is not welcome (plugin noeve)")
        ]
        assert await api.flow.scalar("SELECT count(*) FROM customers") == 0
        ada = await api.create()
        path = f"/customers/{ada['id']}"
        await problem_of(await api.client.patch(path, json={"name": "Eve"}), 422)
        await problem_of(await api.client.put(path, json={**ADA, "name": "Eve"}), 422)
        kept = await body_of(await api.client.get(path), 200)
        assert (kept["name"], kept["version"]) == ("Ada", 1)
        assert rules.asked[-1] == ("Eve", "Ada", "api")
        assert rules.asked[0] == ("Eve", None, "api")
        await body_of(await api.client.patch(path, json={"phone": "1"}), 200)
        await api.client.delete(path)
        changes = await recorder.wait_for(RecordChanged, 3)
    assert [(c.action, c.version, c.source) for c in changes] == [
        ("created", 1, None),
        ("updated", 2, None),
        ("deleted", 3, None),
    ]
    assert [set(c.fields) for c in changes] == [{"/name", "/email"}, {"/phone"}, set()]
    assert {c.record_id for c in changes} == {ada["id"]}
    assert "Ada" not in str(changes)


async def test_a_change_of_a_connection_that_breaks_a_rule_is_applied_and_recorded(
    database_url: str,
) -> None:
    rules, recorder = NoEve(), Recorder()
    async with open_flow(database_url, extra=plugins(rules, recorder)) as flow:
        system = flow.systems["fake"]
        external_id = system.create(name="Ada", email="ada@example.com")
        await flow.deliver()
        assert await violations(flow) == []
        system.edit(external_id, name="Eve")
        await flow.deliver()
        assert await flow.scalar("SELECT name FROM customers") == "Eve"
        assert await violations(flow) == [
            {"plugin": "noeve", "pointer": "/name", "message": "is not welcome"}
        ]
        # A webhook of the same second is not surely newer: the fetch after it may be the change.
        rows = await flow.rows("SELECT at, status, detail FROM sync_event_history")
        history = [{**row, "detail": json.loads(row["detail"] or "{}")} for row in rows]
        (*_, event) = await flow.events("inbound")
        shown = {**event, "history": history}
        assert "      violates noeve /name: is not welcome" in event_text(shown)
        assert rules.asked[-1] == ("Eve", "Ada", "fake")
        created, updated = await recorder.wait_for(RecordChanged, 2)
        system.delete(external_id)
        await flow.deliver()
        assert len(rules.asked) == 2, "a delete is not checked"
        *_, deleted = await recorder.wait_for(RecordChanged, 3)
    assert (created.action, created.source, set(created.fields)) == (
        "created",
        "fake",
        {"/name", "/email"},
    )
    assert (updated.action, updated.fields, updated.version) == ("updated", ("/name",), 2)
    assert (deleted.action, deleted.fields) == ("deleted", ())


async def test_an_answer_that_breaks_a_rule_is_recorded_too(database_url: str) -> None:
    """The object was changed there, and the answer to a push shows the change."""
    async with open_flow(database_url, extra=plugins(NoEve())) as flow:
        system, record_id = flow.systems["fake"], await flow.create()
        await flow.settle()
        system.edit(next(iter(system.objects)), name="Eve")
        system.webhooks.clear()
        await flow.runtime.customers.patch(record_id, {"phone": "1"}, correlation_id="test")
        await flow.settle()
        assert (await flow.record(record_id))["name"] == "Eve"
        assert [each["plugin"] for each in await violations(flow)] == ["noeve"]


async def test_a_conflict_is_announced_once_however_often_its_transaction_is_repeated(
    database_url: str,
) -> None:
    recorder = Recorder()
    async with open_flow(database_url, extra=plugins(recorder)) as flow:
        system, record_id = flow.systems["fake"], await flow.create(phone="0")
        await flow.settle()
        condition = "NEW.detail LIKE '%%\"conflicts\"%%'"
        await refuse(flow, "sync_event_history", condition, "serialization_failure", 3)

        async def edit_both(_push: Push) -> None:
            system.on_the_way = None
            system.edit(next(iter(system.objects)), phone="2")
            await flow.runtime.customers.patch(record_id, {"phone": "1"}, correlation_id="test")

        system.on_the_way = edit_both
        await flow.runtime.customers.patch(record_id, {"name": "Grace"}, correlation_id="test")
        await flow.settle()
        (conflict,) = await recorder.wait_for(ConflictRecorded)
    assert (conflict.record_id, conflict.source) == (record_id, "fake")
    assert (conflict.field, conflict.winner) == ("/phone", "internal")


async def test_a_dead_letter_is_announced(database_url: str) -> None:
    recorder = Recorder()
    async with open_flow(database_url, extra=plugins(recorder)) as flow:

        def reject(_push: Push) -> None:
            raise FakeError(FailureKind.REJECTED)

        flow.systems["fake"].before = reject
        await flow.create()
        (letter,) = await recorder.wait_for(DeadLetterAdded)
        await flow.until_scalar(
            "SELECT true FROM sync_events WHERE id = :id AND status = 'dead'",
            id=letter.sync_event_id,
        )
    assert (letter.source, letter.kind) == ("fake", "rejected")


async def test_a_pause_and_its_end_are_announced_once(database_url: str) -> None:
    recorder = Recorder()
    async with open_api(database_url, extra=plugins(recorder)) as api:
        for action in ("pause", "resume"):
            for _ in range(2):
                await body_of(await api.client.post(f"/connections/fake/{action}"), 200)
        await recorder.wait_for(ConnectionResumed)
    assert recorder.notices == [
        ConnectionPaused("fake", "paused by an operator"),
        ConnectionResumed("fake"),
    ]


async def test_a_pause_for_refused_credentials_is_announced(database_url: str) -> None:
    recorder = Recorder()
    async with open_flow(database_url, extra=plugins(recorder)) as flow:

        def refuse_key(_push: Push) -> None:
            raise FakeError(FailureKind.CREDENTIALS)

        flow.systems["fake"].before = refuse_key
        await flow.create()
        assert await recorder.wait_for(ConnectionPaused) == [
            ConnectionPaused("fake", "credentials")
        ]


async def test_a_failed_hook_changes_nothing(database_url: str) -> None:
    class Broken:
        @hookimpl
        def validate_record(self) -> None:
            raise SystemExit

        @hookimpl
        def record_changed(self) -> None:
            raise SystemExit

    async with open_flow(database_url, extra=plugins(Broken())) as flow:
        flow.systems["fake"].create(name="Ada", email="ada@example.com")
        await flow.deliver()
        await flow.create()
        await flow.settle()
        assert await flow.scalar("SELECT count(*) FROM customers") == 2


@pytest.mark.parametrize("erased", [False, True])
async def test_a_delete_by_an_operator_is_announced(database_url: str, *, erased: bool) -> None:
    recorder = Recorder()
    async with open_api(database_url, extra=plugins(recorder)) as api:
        path = f"/customers/{(await api.create())['id']}"
        if erased:
            await body_of(await api.client.post(f"{path}/erase"), 200)
        else:
            await api.client.delete(path)
        *_, last = await recorder.wait_for(RecordChanged, 2)
    assert last.action == "deleted"
