"""The history of a customer, explained from the stored events."""

import json
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from tests.support.fake import FakeError, FakeSystem
from tests.support.flow import Flow, open_flow, running_worker
from tests.support.wait import until
from zenskar import FailureKind, IntentKind, ObjectRef, Violation, WebhookEvent, hookimpl
from zenskar.db import connections
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import InvalidInput, NotFound
from zenskar.ids import new_id
from zenskar.ops.explain.explainer import explain, find, narrow
from zenskar.ops.explain.model import (
    BrokenRule,
    Explanation,
    FieldDiff,
    HistoryStep,
    HistoryStepKind,
)
from zenskar.ops.explain.words import details, title
from zenskar.plugins.discovery import Plugin

FIRST, NEWER, MINE, THEIRS, OLD = (f"{n}@ada.example" for n in ("a", "b", "mine", "theirs", "old"))
_UNAPPLIED = """
    SELECT (SELECT count(*) FROM outbox WHERE topic = 'sync.inbound')
         + (SELECT count(*) FROM sync_events WHERE direction = 'inbound' AND status = 'pending')
"""


def lose_one_answer(system: FakeSystem) -> None:
    def lose(_push: object) -> None:
        system.after = lambda _push: None
        raise FakeError(FailureKind.UNKNOWN_OUTCOME)

    system.after = lose


async def take_in(flow: Flow, correlation_id: str, source: str = "fake") -> None:
    """Deliver waiting webhooks, and apply them without pushes."""
    waiting = flow.systems[source].webhooks
    async with running_worker(flow.runtime, "inbound"):
        while waiting:
            await flow.runtime.ingress.accept(source, waiting.pop(0), correlation_id)
        await until(lambda: applied(flow))


async def applied(flow: Flow) -> bool:
    return not await flow.scalar(_UNAPPLIED)


async def push_out(flow: Flow) -> None:
    async with running_worker(flow.runtime, "outbound"):
        await flow.settle()


async def tell_story(flow: Flow) -> str:
    """Create with a lost answer, echo, edits of either and both sides, stale webhook, delete."""
    system = flow.systems["fake"]
    lose_one_answer(system)
    created = await flow.runtime.customers.create(
        {"name": "Ada", "email": FIRST}, correlation_id="c-create"
    )
    record_id = str(created.view["id"])
    await push_out(flow)
    await take_in(flow, "c-echo")
    external_id = next(iter(system.objects))
    system.edit(external_id, email=NEWER)
    system.shift(10)
    await take_in(flow, "c-newer")
    await flow.runtime.customers.patch(record_id, {"email": MINE}, correlation_id="c-mine")
    system.edit(external_id, email=THEIRS)
    system.shift(20)
    await take_in(flow, "c-theirs")
    await push_out(flow)
    system.webhooks.clear()
    system.announce("updated", external_id)
    body = json.loads(system.webhooks[-1].body)
    body["object"]["email"] = OLD
    system.webhooks[-1] = replace(system.webhooks[-1], body=json.dumps(body).encode())
    system.shift(-100)
    await take_in(flow, "c-old")
    system.delete(external_id)
    system.shift(30)
    await take_in(flow, "c-gone")
    await push_out(flow)
    return record_id


@pytest_asyncio.fixture
async def story(database_url: str) -> Explanation:
    async with open_flow(database_url, working=False) as flow:
        return await explained(flow, await tell_story(flow))


async def explained(flow: Flow, record_id: str, **options: Any) -> Explanation:
    return await explain(flow.runtime.engine, record_id, **options)


def brief(step: HistoryStep) -> str:
    what = step.call if step.kind is HistoryStepKind.CALL else step.verdict or step.error_kind
    return f"{step.kind}:{what}" if what else step.kind.value


def of(found: Explanation, correlation_id: str) -> list[HistoryStep]:
    return [step for step in found.steps if step.correlation_id == correlation_id]


def causes(found: Explanation, step: HistoryStep) -> list[str]:
    """Return the step and its causes, back to the first."""
    chain = [brief(step)]
    while step.cause is not None:
        step = found.steps[step.cause - 1]
        chain.append(brief(step))
    return chain


def test_a_story_is_told_in_causal_order(story: Explanation) -> None:
    assert [step.number for step in story.steps] == list(range(1, len(story.steps) + 1))
    assert all(step.cause is None or step.cause < step.number for step in story.steps)
    assert [brief(step) for step in of(story, "c-create")] == [
        "change",
        "call:create",
        "failed:unknown_outcome",
        "call:resend",
        "answer:linked",
        "call:fetch",
        "answer:confirmed",
        "done",
    ]
    told = [(s.correlation_id, brief(s)) for s in story.steps if s.kind is HistoryStepKind.VERDICT]
    assert told == [
        ("c-echo", "verdict:echo"),
        ("c-newer", "verdict:merged"),
        ("c-theirs", "verdict:merged"),
        ("c-old", "verdict:stale"),
        ("c-gone", "verdict:deleted"),
    ]
    assert story.missing_versions == ()
    assert story.unfinished == ()


def test_each_step_names_its_cause(story: Explanation) -> None:
    fetched = next(s for s in story.steps if brief(s) == "answer:confirmed")
    assert causes(story, fetched) == [
        "answer:confirmed",
        "call:fetch",
        "answer:linked",
        "call:resend",
        "failed:unknown_outcome",
        "call:create",
        "change",
    ]
    echo = next(s for s in story.steps if s.verdict == "echo")
    assert causes(story, echo)[:3] == ["verdict:echo", "observed", "call:resend"]
    (queued,) = [s for s in story.steps if s.kind is HistoryStepKind.QUEUED]
    assert causes(story, queued) == ["queued", "verdict:merged", "observed"]
    update = next(s for s in story.steps if s.call == IntentKind.UPDATE)
    # The first of the two messages makes the push.
    assert causes(story, update)[1:] in (["change"], ["queued", "verdict:merged", "observed"])


def test_changes_are_told_with_old_and_new_values(story: Explanation) -> None:
    emails = [
        (step.version, diff.before, diff.after)
        for step in story.steps
        for diff in step.changes
        if diff.path == "/email"
    ]
    assert emails == [(1, None, FIRST), (2, FIRST, NEWER), (3, NEWER, MINE)]
    assert all(diff.known for step in story.steps for diff in step.changes)
    update = next(s for s in story.steps if s.call == IntentKind.UPDATE)
    assert update.writes == {"/email": MINE}
    assert update.push_state == "answered"


def test_a_conflict_is_told_with_all_values(story: Explanation) -> None:
    (step,) = [s for s in story.steps if s.conflicts]
    (conflict,) = step.conflicts
    assert (conflict.path, conflict.base, conflict.internal) == ("/email", NEWER, MINE)
    assert (conflict.external, conflict.winner) == (THEIRS, "internal")
    assert conflict.policy == "internal_wins"
    assert step.version is None


def test_what_was_not_taken_is_told_with_what_it_showed(story: Explanation) -> None:
    echo = next(s for s in story.steps if s.verdict == "echo")
    assert echo.shown == {"/name": "Ada", "/email": FIRST}
    stale = next(s for s in story.steps if s.verdict == "stale")
    assert stale.seen == {"/email": OLD}
    news = story.steps[(stale.cause or 0) - 1]
    assert news.occurred is not None
    assert news.occurred[1] < news.at


def test_each_field_names_its_last_writer(story: Explanation) -> None:
    email, name = story.provenance
    assert (name.path, name.value, name.step) == ("/name", "Ada", 1)
    assert (email.value, email.kind, email.correlation_id) == (
        MINE,
        HistoryStepKind.CHANGE,
        "c-mine",
    )
    conflict = next(s.number for s in story.steps if s.conflicts)
    assert email.held_in == (conflict,)
    assert email.step is not None
    assert story.steps[email.step - 1].at == email.at


async def test_a_delete_leaves_a_tombstone(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        record_id = await tell_story(flow)
        found = await explained(flow, record_id)
        gone = next(s for s in found.steps if s.deletes)
        assert (gone.version, gone.correlation_id) == (4, "c-gone")
        assert (found.version, found.deleted_at is not None) == (4, True)
        (system,) = found.systems
        assert (system.state, system.in_sync, system.open_intents) == ("deleted", False, ())
        assert system.external_id is not None
        for name in (record_id, system.external_id, MINE):
            assert [m.id for m in await find(flow.runtime.engine, name)] == [record_id]


def test_one_field_alone(story: Explanation) -> None:
    narrowed = narrow(story, "name")
    assert [p.path for p in narrowed.provenance] == ["/name"]
    correlated = {step.correlation_id for step in narrowed.steps}
    assert correlated == {"c-create", "c-echo", "c-gone"}
    assert {q.status for s in narrowed.steps for q in s.queued} == {"succeeded"}
    assert [d.path for s in narrowed.steps for d in s.changes] == ["/name"]
    assert "c-theirs" in {s.correlation_id for s in narrow(story, "email").steps}
    assert narrow(story, "metadata.plan").provenance == ()
    with pytest.raises(InvalidInput, match="there are name, email"):
        narrow(story, "mail")


async def test_a_change_goes_on_from_one_connection_to_the_other(database_url: str) -> None:
    async with open_flow(database_url, "left", "right") as flow:
        flow.systems["left"].create(name="Grace", email=FIRST)
        await flow.deliver("left")
        record_id = str(await flow.scalar("SELECT id FROM customers"))
        await flow.runtime.customers.patch(record_id, {"phone": "1"}, correlation_id="c-phone")
        await flow.settle()
        found = await explained(flow, record_id)
        create = next(s for s in found.steps if s.call == IntentKind.CREATE)
        assert causes(found, create) == ["call:create", "queued", "verdict:created", "observed"]
        (change,) = [s for s in found.steps if s.kind is HistoryStepKind.CHANGE]
        assert {q.source_system for q in change.queued} == {"left", "right"}
        assert (change.version, change.changes) == (2, (FieldDiff("/phone", None, "1"),))
        assert [s.in_sync for s in found.systems] == [True, True]


async def test_what_waits_and_why(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        record_id = await flow.create()

        def refuse(_push: object) -> None:
            raise FakeError(FailureKind.CREDENTIALS)

        flow.systems["fake"].before = refuse
        async with running_worker(flow.runtime, "outbound"):
            await until(lambda: flow.scalar("SELECT count(*) FROM connections"))
        found = await explained(flow, record_id)
        assert [brief(s) for s in found.steps][-2:] == ["paused:credentials", "failed:credentials"]
        assert found.steps[-1].retry_in_seconds is None
        (event,) = found.unfinished
        assert (event.status, event.error_kind) == ("pending", "credentials")
        (system,) = found.systems
        assert (system.state, system.paused_reason) == ("none", "credentials")


async def test_a_pause_that_is_over_explains_the_wait(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        record_id = await flow.create()
        engine = flow.runtime.engine
        for _ in range(2):
            await in_transaction(
                engine, lambda c: connections.pause(c, "fake", "maintenance", by="me from here")
            )
            await in_transaction(engine, lambda c: connections.pause(c, "other", "not asked for"))
        for _ in range(2):
            await in_transaction(engine, lambda c: connections.resume(c, "fake", "you from there"))
        await push_out(flow)
        found = await explained(flow, record_id)
        assert [brief(s) for s in found.steps][:4] == [
            "change",
            "paused",
            "resumed",
            "call:create",
        ]
        assert {s.reason for s in found.steps[1:3]} == {"maintenance"}
        assert [s.by for s in found.steps[1:3]] == ["me from here", "you from there"]


async def test_a_push_without_an_answer_is_open(database_url: str) -> None:
    async with open_flow(database_url, working=False, retry_max_attempts=1) as flow:
        lose_one_answer(flow.systems["fake"])
        record_id = await flow.create()
        await push_out(flow)
        found = await explained(flow, record_id)
        (system,) = found.systems
        (intent,) = system.open_intents
        assert (intent.kind, intent.state, system.in_sync) == ("create", "unknown", False)
        assert [event.status for event in found.unfinished] == ["dead"]


class NoTwins:
    """Refuses one e-mail address."""

    @hookimpl
    def validate_record(self, document: dict[str, Any]) -> list[Violation]:
        return [Violation("/email", "is taken")] if document["email"] == NEWER else []


async def test_a_broken_rule_is_told_with_the_change_that_breaks_it(database_url: str) -> None:
    rules = {"no_twins": Plugin("no_twins", "test-no-twins", "1", broadcast=NoTwins())}
    async with open_flow(database_url, extra=rules) as flow:
        flow.systems["fake"].create(name="Ada", email=NEWER)
        await flow.deliver()
        found = await explained(flow, str(await flow.scalar("SELECT id FROM customers")))
    (step,) = [s for s in found.steps if s.violations]
    assert step.verdict == "created"
    assert step.violations == (BrokenRule("/email", "is taken", plugin="no_twins"),)
    assert "violates no_twins /email: is taken" in details(step)
    assert any(s.violations for s in narrow(found, "email").steps)
    assert not any(s.violations for s in narrow(found, "name").steps)


async def test_an_event_of_a_feed_is_no_webhook(database_url: str) -> None:
    async with open_flow(database_url, sweep_seconds=0.05) as flow:
        system = flow.systems["fake"]
        external_id = system.create(name="Ada", email=FIRST)
        system.report(external_id)
        await flow.until_scalar("SELECT count(*) FROM customers")
        touched = ObjectRef("customer", external_id)
        system.feed.append(WebhookEvent("chg_2", "changed", touched=touched))
        await flow.until_scalar("SELECT count(*) = 3 FROM sync_events WHERE status <> 'pending'")
        await flow.settle()
        found = await explained(flow, str(await flow.scalar("SELECT id FROM customers")))
    seen = [step for step in found.steps if step.kind is HistoryStepKind.OBSERVED]
    assert [step.reason for step in seen] == ["poll", "poll"]
    assert title(seen[1]) == f"fake: seen in a poll chg_2, changed of {external_id}"


async def test_what_the_history_lacks_is_said(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        record_id = await flow.create()
        async with flow.runtime.engine.begin() as db:
            await db.exec_driver_sql("UPDATE customers SET version = 3, name = 'Eve'")
        await flow.runtime.customers.patch(record_id, {"name": "Ida"}, correlation_id="c")
        async with flow.runtime.engine.begin() as db:
            await db.exec_driver_sql("UPDATE customers SET version = 5, email = 'x'")
        found = await explained(flow, record_id)
        assert found.missing_versions == (2, 3, 5)
        email, name = found.provenance
        assert (email.value, email.step, name.step) == ("x", None, 2)
        assert found.steps[1].changes == (FieldDiff("/name", "Eve", "Ida"),)


async def test_the_newest_events_are_enough_for_the_last_writer(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        record_id = await flow.create()
        for name in ("B", "C"):
            await flow.runtime.customers.patch(record_id, {"name": name}, correlation_id=name)
        found = await explained(flow, record_id, most_events=1)
        assert found.truncated
        assert found.missing_versions == ()
        email, name = found.provenance
        assert (email.step, name.step, name.correlation_id) == (None, 1, "C")
        assert found.steps[0].changes == (FieldDiff("/name", "B", "C"),)


async def test_names_of_customers(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        first, second = await flow.create(), await flow.create()
        found = await find(flow.runtime.engine, "ada@example.com")
        assert [match.id for match in found] == [second, first]
        await flow.runtime.customers.delete(first, correlation_id="c")
        (living,) = await find(flow.runtime.engine, "ada@example.com")
        assert living.id == second
        assert await find(flow.runtime.engine, "x' OR '1'='1") == []
        with pytest.raises(NotFound):
            await explained(flow, new_id())
