"""Each class of failure has its own recovery; nothing is lost and nothing is made twice."""

import asyncio
import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.support.fake import FakeError, FakeIntegration, FakeSystem
from tests.support.flow import DEADLINE_SECONDS, Flow, open_flow, running_worker
from tests.support.refuse import refuse
from tests.support.wait import until
from zenskar import Change, FailureKind, IntentKind, Push
from zenskar.db.events.event_log import EventFilter
from zenskar.errors import CallFailed, Failure, InvalidInput
from zenskar.model.actor import Actor
from zenskar.model.sync_event import SyncStatus


def fail(kind: FailureKind, times: int = 1) -> Callable[[Push], None]:
    """Return a hook that fails that often and then no more."""
    left = iter(range(times))

    def hook(_push: Push) -> None:
        if next(left, None) is not None:
            raise FakeError(kind)

    return hook


async def wait_for(flow: Flow, query: str) -> None:
    await until(lambda: flow.scalar(query))


def only(system: FakeSystem) -> dict[str, object]:
    (seen,) = system.objects.values()
    assert seen is not None
    return seen


@pytest.mark.parametrize("kind", [FailureKind.TRANSIENT, FailureKind.UNKNOWN_OUTCOME])
async def test_a_create_without_an_answer_is_repeated_with_its_key(
    database_url: str, kind: FailureKind
) -> None:
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        system.after = fail(kind)
        await flow.create()
        await flow.settle()
        first, second = system.pushes(IntentKind.CREATE)
        assert first.idempotency_key == second.idempotency_key
        assert first.body == second.body
        assert only(system)["name"] == "Ada"
        (event,) = await flow.events("outbound")
        assert (event["status"], event["attempts"]) == ("succeeded", 1)


async def test_a_failure_that_is_replayed_for_ever_is_looked_up(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        keys: list[str] = []

        def fail_by_key(push: Push) -> None:
            if keys and push.idempotency_key not in keys:
                return
            replayed = push.idempotency_key in keys
            keys.append(push.idempotency_key)
            raise FakeError(FailureKind.UNKNOWN_OUTCOME, replayed=replayed)

        system.before = fail_by_key
        await flow.create()
        await flow.settle()
        assert [push.idempotency_key for push in system.calls[:2]] == keys
        assert len(system.calls) == 3
        assert only(system)["name"] == "Ada"


async def test_an_update_without_an_answer_gives_way_to_a_look(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        record_id = await flow.create()
        await flow.settle()
        system.before = fail(FailureKind.UNKNOWN_OUTCOME)
        await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="test")
        await flow.settle()
        assert len(system.fetches) == 1
        assert only(system)["name"] == "Eve"


async def test_a_push_that_meets_a_conflict_is_found_by_that_reason(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        record_id = await flow.create()
        await flow.settle()

        def lose_and_edit(_push: Push) -> None:
            system.before = lambda _push: None
            system.edit(next(iter(system.objects)), name="Zoe")
            raise FakeError(FailureKind.UNKNOWN_OUTCOME)

        system.before = lose_and_edit
        await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="test")
        await flow.settle()
        assert only(system)["name"] == "Eve"
        page = await flow.rows("SELECT status FROM sync_events WHERE reason = 'conflict'")
        assert page == [{"status": "succeeded"}]
        history = await flow.rows("SELECT detail FROM sync_event_history WHERE detail IS NOT NULL")
        (conflict,) = [c for row in history for c in json.loads(row["detail"]).get("conflicts", ())]
        assert conflict == {
            "path": "/name",
            "base": "Ada",
            "internal": "Eve",
            "external": "Zoe",
            "winner": "internal",
            "policy": "internal_wins",
        }


async def test_a_lost_answer_of_an_update_that_landed_is_not_repeated(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        record_id = await flow.create()
        await flow.settle()
        system.after = fail(FailureKind.UNKNOWN_OUTCOME)
        await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="test")
        await flow.settle()
        assert len(system.pushes(IntentKind.UPDATE)) == 1
        assert only(system)["name"] == "Eve"


async def test_a_rejected_push_is_dead_at_once_and_a_newer_change_goes_on(
    database_url: str,
) -> None:
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        system.before = fail(FailureKind.REJECTED)
        record_id = await flow.create(name="Bad")
        await flow.settle()
        (event,) = await flow.events("outbound")
        assert (event["status"], event["error_kind"]) == ("dead", "rejected")
        await flow.runtime.customers.patch(record_id, {"name": "Good"}, correlation_id="test")
        await flow.settle()
        assert only(system)["name"] == "Good"


async def test_attempts_that_are_used_up_make_a_dead_letter(database_url: str) -> None:
    async with open_flow(database_url, retry_max_attempts=3) as flow:
        flow.systems["fake"].before = fail(FailureKind.TRANSIENT, times=99)
        await flow.create()
        await flow.settle()
        (event,) = await flow.events("outbound")
        assert (event["status"], event["attempts"]) == ("dead", 3)
        history = await flow.rows(
            "SELECT status FROM sync_event_history WHERE event_id = :id ORDER BY id",
            id=event["id"],
        )
        assert [row["status"] for row in history].count("retrying") == 2


async def test_a_failing_record_does_not_hold_up_others(database_url: str) -> None:
    async with open_flow(database_url, retry_max_attempts=50) as flow:

        def fail_bob(push: Push) -> None:
            if push.body["name"] == "Bob":
                raise FakeError(FailureKind.TRANSIENT)

        flow.systems["fake"].before = fail_bob
        await flow.create(name="Bob")
        await flow.create(name="Ada")
        await wait_for(flow, "SELECT true FROM sync_events WHERE status = 'succeeded'")
        assert only(flow.systems["fake"])["name"] == "Ada"


async def test_a_rate_limit_uses_up_no_attempt(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        flow.systems["fake"].before = fail(FailureKind.RATE_LIMITED)
        await flow.create()
        await flow.settle()
        (event,) = await flow.events("outbound")
        assert (event["status"], event["attempts"]) == ("succeeded", 0)


async def test_bad_credentials_pause_the_connection_and_make_no_dead_letters(
    database_url: str,
) -> None:
    async with open_flow(database_url) as flow:
        flow.systems["fake"].before = fail(FailureKind.CREDENTIALS, times=99)
        for _ in range(3):
            await flow.create()
        await wait_for(flow, "SELECT true FROM connections WHERE state = 'paused'")
        await wait_for(flow, "SELECT count(*) = 3 FROM outbox WHERE available_at > now()")
        assert await flow.scalar("SELECT count(*) FROM sync_events WHERE status = 'dead'") == 0


async def test_an_object_that_is_gone_is_looked_at_before_it_is_believed(
    database_url: str,
) -> None:
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        record_id = await flow.create()
        await flow.settle()
        external_id = next(iter(system.objects))
        system.objects[external_id] = None
        await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="test")
        await flow.settle()
        assert system.fetches == [external_id]
        assert (await flow.record(record_id))["deleted_at"] is not None
        assert len(system.objects) == 1


async def test_a_bug_of_the_integration_is_a_dead_letter_without_its_text(
    database_url: str,
) -> None:
    def explode(_push: Push) -> None:
        raise KeyError("canary@example.com")

    async with open_flow(database_url) as flow:
        flow.systems["fake"].before = explode
        await flow.create()
        await flow.settle()
        (event,) = await flow.events("outbound")
        assert (event["status"], event["error_kind"]) == ("dead", "bug")
        assert "canary" not in event["error_message"]
        assert "KeyError" in event["error_message"]


async def test_a_call_that_never_answers_is_cut_off(database_url: str) -> None:
    async with open_flow(database_url, request_timeout_seconds=0.05) as flow:
        system = flow.systems["fake"]
        never = asyncio.Event()

        async def hang_once(_push: Push) -> None:
            if len(system.calls) == 1:
                await never.wait()

        system.on_the_way_back = hang_once
        await flow.create()
        await flow.settle()
        assert len(system.calls) == 2
        assert len(system.objects) == 1


async def test_an_edit_during_a_push_is_pushed_next(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        record_id = await flow.create()
        await flow.settle()
        sent, go_on = asyncio.Event(), asyncio.Event()

        async def wait(_push: Push) -> None:
            sent.set()
            await go_on.wait()

        system.on_the_way = wait
        change = flow.runtime.customers.patch
        await change(record_id, {"name": "One"}, correlation_id="test")
        async with asyncio.timeout(DEADLINE_SECONDS):
            await sent.wait()
        await change(record_id, {"name": "Two"}, correlation_id="test")
        go_on.set()
        await flow.settle()
        assert only(system)["name"] == "Two"


async def test_a_worker_that_wakes_up_late_does_not_reopen_what_another_has_ended(
    database_url: str,
) -> None:
    """Found by the simulation: the event was left as retrying, with no message to retry it."""
    async with open_flow(database_url, intent_lease_seconds=0.05) as flow:
        system = flow.systems["fake"]
        asleep, wake_up = asyncio.Event(), asyncio.Event()

        async def sleep_once(_push: Push) -> None:
            if not asleep.is_set():
                asleep.set()
                await wake_up.wait()
                raise FakeError(FailureKind.UNKNOWN_OUTCOME)

        system.on_the_way = sleep_once
        await flow.create()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await asleep.wait()
        async with flow.runtime.engine.begin() as db:
            await db.exec_driver_sql("UPDATE outbox SET claimed_until = now()")
        await wait_for(flow, "SELECT status = 'succeeded' FROM sync_events")
        wake_up.set()
        # An event of its own resolves the push after the late failure.
        await wait_for(flow, "SELECT count(*) = 2 FROM sync_events")
        await flow.settle()
        assert len(system.objects) == 1
        events = await flow.events("outbound")
        assert {event["status"] for event in events} == {"succeeded"}, events


async def test_an_answer_with_another_records_object_is_given_up(database_url: str) -> None:
    """Found by the search over interleavings: a second object was created."""
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        await flow.create(name="First")
        await flow.settle()
        (answer,) = system.answers.values()

        def answer_with_the_first(push: Push) -> None:
            system.answers[push.idempotency_key] = answer

        system.before = answer_with_the_first
        record_id = await flow.create(name="Second")
        await flow.settle()
        (event,) = await flow.rows("SELECT * FROM sync_events WHERE entity_id = :id", id=record_id)
        assert (event["status"], event["reason"]) == ("dead", "anothers_object")
        assert len(system.objects) == len(system.calls) - 1 == 1


async def test_a_worker_that_dies_before_the_answer_leaves_the_push_to_another(
    database_url: str,
) -> None:
    async with open_flow(database_url, working=False) as flow:
        system = flow.systems["fake"]
        await flow.create()
        called, never = asyncio.Event(), asyncio.Event()

        async def hang(_push: Push) -> None:
            called.set()
            await never.wait()

        system.on_the_way_back = hang
        stopping = asyncio.Event()
        victim = asyncio.create_task(flow.runtime.worker().run(stopping))
        async with asyncio.timeout(DEADLINE_SECONDS):
            await called.wait()
        victim.cancel()
        await asyncio.gather(victim, return_exceptions=True)
        system.on_the_way_back = None
        # Not a short lease: the other worker's own would run out, too, and a database that is away
        # at its answer would have it repeat the create at once instead of after the lease.
        async with flow.runtime.engine.begin() as db:
            await db.exec_driver_sql("UPDATE push_intents SET lease_until = now()")
        async with running_worker(flow.runtime):
            await flow.settle()
        assert len(system.objects) == 1
        first, second = system.pushes(IntentKind.CREATE)
        assert (first.idempotency_key, first.body) == (second.idempotency_key, second.body)


async def test_an_answer_that_the_database_does_not_take_has_the_create_repeated_with_its_key(
    database_url: str,
) -> None:
    """The worker lives, yet the push is as open as if it had died: the third create, if any."""
    async with open_flow(database_url, intent_lease_seconds=0.05) as flow:
        system = flow.systems["fake"]
        await refuse(flow, "push_intents", "NEW.state = 'answered'", "admin_shutdown")
        await flow.create()
        await flow.settle()
        assert len(system.objects) == 1
        first, second = system.pushes(IntentKind.CREATE)
        assert (first.idempotency_key, first.body) == (second.idempotency_key, second.body)


async def test_a_late_refusal_does_not_hide_a_create_that_another_worker_made(
    database_url: str,
) -> None:
    """Found by the simulation: the next create had a new key and made a second object."""
    async with open_flow(database_url, intent_lease_seconds=0.05, worker_concurrency=1) as flow:
        system = flow.systems["fake"]
        asleep, wake_up, made, never = (asyncio.Event() for _ in range(4))

        async def refuse_the_first_late(push: Push) -> None:
            if push is system.calls[0]:
                asleep.set()
                await wake_up.wait()
                raise FakeError(FailureKind.RATE_LIMITED)

        async def lose_the_answer(_push: Push) -> None:
            made.set()
            await never.wait()

        system.on_the_way, system.on_the_way_back = refuse_the_first_late, lose_the_answer
        await flow.create()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await asleep.wait()
        async with flow.runtime.engine.begin() as db:
            await db.exec_driver_sql("UPDATE outbox SET claimed_until = now()")
        other = asyncio.create_task(flow.runtime.worker().run(asyncio.Event()))
        async with asyncio.timeout(DEADLINE_SECONDS):
            await made.wait()
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
        system.on_the_way_back = None
        wake_up.set()
        await flow.settle()
        assert len(system.objects) == 1
        assert len({push.idempotency_key for push in system.pushes(IntentKind.CREATE)}) == 1


@pytest.mark.parametrize("kind", [SystemExit, asyncio.CancelledError])
async def test_a_plugin_that_exits_ends_nothing_but_its_own_call(
    database_url: str, kind: type[BaseException]
) -> None:
    def leave(_push: Push) -> None:
        raise kind("canary@example.com")

    async with open_flow(database_url) as flow:
        flow.systems["fake"].before = leave
        await flow.create()
        await flow.settle()
        flow.systems["fake"].before = lambda _push: None
        await flow.create()
        await flow.settle()
        first, second = await flow.events("outbound")
        assert (first["status"], second["status"]) == ("dead", "succeeded")
        assert first["error_message"] == f"{kind.__name__} in the integration of fake"


async def test_an_error_that_a_plugin_cannot_classify_is_a_bug_of_its_call(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unclear(self: FakeIntegration, error: Exception) -> Failure:
        raise KeyError("canary@example.com")

    monkeypatch.setattr(FakeIntegration, "classify_error", unclear)
    async with open_flow(database_url) as flow:
        flow.systems["fake"].before = fail(FailureKind.REJECTED)
        await flow.create()
        await flow.settle()
        (event,) = await flow.events("outbound")
        assert (event["status"], event["error_kind"]) == ("dead", "bug")
        assert event["error_message"] == "KeyError in the integration of fake"


async def test_a_plugin_that_changes_what_it_is_given_changes_nothing_here(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    translate = FakeIntegration.from_canonical

    def spoil(self: FakeIntegration, change: Change) -> Mapping[str, Any]:
        body = copy.deepcopy(translate(self, change))
        for given in (change.patch, change.document):
            for value in given.values():
                if isinstance(value, dict):
                    value.clear()
            given.clear()  # type: ignore[attr-defined]
        return body

    monkeypatch.setattr(FakeIntegration, "from_canonical", spoil)
    address = {"line1": "Bahnhofstrasse 1", "city": "Zürich", "country": "CH"}
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        record_id = await flow.create(address=address, metadata={"plan": "gold"})
        await flow.settle()
        (seen,) = system.objects.values()
        assert seen is not None
        assert (seen["address"], seen["metadata"]) == (address, {"plan": "gold"})
        (event,) = await flow.events("outbound")
        assert (event["status"], event["reason"]) == ("succeeded", "pushed")
        assert (await flow.mapping(record_id))["base"]["/address"] == address
        (intent,) = await flow.rows("SELECT changes, state FROM push_intents")
        assert (json.loads(intent["changes"])["/address"], intent["state"]) == (address, "answered")


@pytest.mark.parametrize("wrong", [None, [], "text", [("name", "Ada")]])
@pytest.mark.parametrize(("hook", "pushes"), [("to_canonical", 1), ("from_canonical", 0)])
async def test_what_a_plugin_makes_nonsense_of_is_dead_and_says_so(
    database_url: str, monkeypatch: pytest.MonkeyPatch, hook: str, pushes: int, wrong: object
) -> None:
    monkeypatch.setattr(FakeIntegration, hook, lambda _self, **_given: wrong)
    async with open_flow(database_url) as flow:
        await flow.create()
        await flow.settle()
        (event,) = await flow.events("outbound")
        assert (event["status"], event["error_kind"]) == ("dead", "bug")
        assert event["error_message"] == "TypeError in the integration of fake"
        assert len(flow.systems["fake"].calls) == pushes


async def test_an_answer_that_a_plugin_refuses_is_an_unknown_outcome(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_it(_self: FakeIntegration, seen: Any) -> Mapping[str, Any]:
        raise InvalidInput(f"canary {seen.data['email']}")

    monkeypatch.setattr(FakeIntegration, "to_canonical", refuse_it)
    async with open_flow(database_url, retry_max_attempts=1) as flow:
        await flow.create()
        await flow.settle()
        (event,) = await flow.events("outbound")
        assert event["error_kind"] == "unknown_outcome"
        assert event["error_message"] == "the answer cannot be read"


@pytest.mark.parametrize(
    ("hook", "wrong"),
    [
        ("parse_webhook", None),
        ("parse_webhook", ["evt_1"]),
        ("parse_webhook", "text"),
        ("to_canonical", None),
        ("to_canonical", []),
    ],
)
async def test_a_webhook_that_a_plugin_makes_nonsense_of_is_kept(
    database_url: str, monkeypatch: pytest.MonkeyPatch, hook: str, wrong: object
) -> None:
    async with open_flow(database_url) as flow:
        flow.systems["fake"].create(name="Ada")
        (webhook,) = flow.systems["fake"].webhooks
    with monkeypatch.context() as patched:
        patched.setattr(FakeIntegration, hook, lambda _self, **_given: wrong)
        async with open_flow(database_url) as flow:
            assert await flow.runtime.ingress.accept("fake", webhook, "test") == (0, 1)
    async with open_flow(database_url) as flow:
        (letter,) = await flow.events("inbound")
        assert (letter["status"], letter["error_kind"]) == ("dead", "bug")
        me = Actor("me", "here")
        assert await flow.runtime.replay.retry(EventFilter(status=SyncStatus.DEAD), me) == 1
        await flow.settle()
        assert await flow.scalar("SELECT count(*) FROM customers") == 1


async def test_a_failure_with_a_text_that_no_table_stores_ends_its_event(database_url: str) -> None:
    """The text is a plugin's, and may repeat what an external system has sent."""
    failure = Failure(FailureKind.REJECTED, f"no \0 {chr(0xD800)} {'x' * 100_000}", code="a\0")

    def refuse_push(_push: Push) -> None:
        raise CallFailed(failure)

    async with open_flow(database_url) as flow:
        flow.systems["fake"].before = refuse_push
        await flow.create()
        await flow.settle()
        (event,) = await flow.events("outbound")
        assert event["status"] == "dead"
        assert event["error_message"].startswith("no \N{REPLACEMENT CHARACTER} ")
        assert len(event["error_message"]) < 3_000
