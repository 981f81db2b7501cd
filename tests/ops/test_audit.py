"""The audit: every action of an operator leaves an entry in the transaction of its change."""

import asyncio
from typing import Any

import pytest

from tests.ops.test_connections import flooded
from tests.support.flow import Flow, open_flow
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events.event_log import EventFilter
from zenskar.db.operators.actions import ActionFilter, OperatorAction
from zenskar.errors import InvalidInput, NotFound, StateConflict
from zenskar.model.actor import Actor, check_reason
from zenskar.model.operator_action import ActionKind
from zenskar.model.scope import Scope
from zenskar.ops import audit, connections, dead_letters, keys
from zenskar.ops.audit import AuditEntry
from zenskar.ops.connections import ResumeRequest
from zenskar.ops.erase import Eraser

BY = Actor("Ada", "a test", "planned work")


async def actions(flow: Flow, **wanted: Any) -> list[OperatorAction]:
    page = await in_transaction(
        flow.runtime.engine, lambda c: audit.page(c, ActionFilter(**wanted), limit=50)
    )
    return list(page.actions)


async def test_pause_resume_and_keys_are_written_with_who_where_and_why(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        engine, broadcaster = flow.runtime.engine, flow.runtime.context.broadcaster
        await in_transaction(engine, lambda c: connections.pause(c, "fake", BY, broadcaster))
        request = ResumeRequest()
        await in_transaction(
            engine, lambda c: connections.resume(c, "fake", BY, request, broadcaster)
        )
        made, _ = await in_transaction(engine, lambda c: keys.create(c, "ci", Scope.READ, None, BY))
        await in_transaction(engine, lambda c: keys.revoke(c, made.prefix, BY))
        with pytest.raises(NotFound):
            await in_transaction(engine, lambda c: keys.revoke(c, made.prefix, BY))
        found = await actions(flow)
        assert [(each.action, each.target) for each in found] == [
            ("revoke_key", made.prefix),
            ("create_key", made.prefix),
            ("resume", "fake"),
            ("pause", "fake"),
        ]
        assert {(each.by, each.place, each.reason, each.state) for each in found} == {
            ("Ada", "a test", "planned work", "done")
        }
        assert all(each.ended_at for each in found)
        assert [each.action for each in await actions(flow, target="fake")] == ["resume", "pause"]


async def test_a_refused_action_leaves_no_entry(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        broadcaster, request = flow.runtime.context.broadcaster, ResumeRequest(apply_deletes=3)
        with pytest.raises(StateConflict):
            await in_transaction(
                flow.runtime.engine,
                lambda c: connections.resume(c, "fake", BY, request, broadcaster),
            )
        nothing = await flow.runtime.replay.retry(EventFilter(source="fake"), BY)
        assert (nothing, await actions(flow)) == (0, [])


async def test_held_deletes_that_are_dropped_or_let_go_are_counted(database_url: str) -> None:
    async with open_flow(database_url, delete_guard_limit=2) as flow:
        system = await flooded(flow, 6)
        held = await in_transaction(
            flow.runtime.engine, lambda c: connections.held(c, "fake", most=1)
        )
        system.objects[held.oldest[0].external_id] = {"name": "Alive"}
        dropper = flow.runtime.operations().held_delete_dropper()
        done = await dropper.drop("fake", BY)
        (dropped,) = await actions(flow, action="drop_deletes")
        assert (dropped.state, dropped.result) == ("done", {"dropped": done.dropped})
        assert done.proven
        request = ResumeRequest(apply_deletes=done.proven)
        broadcaster = flow.runtime.context.broadcaster
        await in_transaction(
            flow.runtime.engine,
            lambda c: connections.resume(c, "fake", BY, request, broadcaster),
        )
        (resumed,) = await actions(flow, action="resume")
        assert resumed.request == resumed.result == {"deletes": done.proven}
        flow.runtime.context.wake("sync.inbound")
        await flow.settle()


async def test_retry_discard_reveal_and_erase_are_written(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        engine, replay = flow.runtime.engine, flow.runtime.replay
        ids = [await flow.create(name=f"Customer {number}") for number in range(3)]
        await in_transaction(engine, _kill)
        (first, *_) = await flow.events("outbound")
        assert await replay.retry(EventFilter(ids=(str(first["id"]),)), BY) == 1
        await in_transaction(engine, lambda c: dead_letters.find(c, str(first["id"]), reveal_to=BY))
        wanted = dead_letters.only_dead(EventFilter(source="fake"))
        assert await replay.discard(wanted, BY) == 2
        await Eraser(engine, ["fake"], flow.runtime.context.wake).erase(ids[1], BY)
        erased, discarded, revealed, retried = await actions(flow)
        assert (retried.target, retried.result) == (str(first["id"]), {"events": 1})
        assert (revealed.action, revealed.target) == ("reveal", str(first["id"]))
        assert discarded.request == {"source": "fake", "status": "dead"}
        assert discarded.result == {"events": 2}
        assert (erased.action, erased.target) == ("erase", ids[1])


async def _kill(db: Any) -> None:
    from sqlalchemy import text

    await db.execute(text("UPDATE sync_events SET status = 'dead', error_kind = 'rejected'"))
    await db.execute(
        text("INSERT INTO sync_event_history (event_id, status) SELECT id, 'dead' FROM sync_events")
    )
    await db.execute(text("DELETE FROM outbox"))


@pytest.mark.parametrize(
    ("error", "state", "problem"),
    [
        (StateConflict("a push is in progress"), "failed", "a push is in progress"),
        (RuntimeError("the text of another system"), "failed", "RuntimeError"),
        (asyncio.CancelledError(), "stopped", None),
    ],
)
async def test_a_long_action_that_does_not_end_well_is_written(
    database_url: str, error: BaseException, state: str, problem: str | None
) -> None:
    async with open_flow(database_url, working=False) as flow:
        entry = AuditEntry(ActionKind.REPAIR, BY, "fake")

        async def act() -> None:
            async with audit.recorded(flow.runtime.engine, entry):
                (begun,) = await actions(flow)
                assert (begun.state, begun.ended_at) == ("begun", None)
                raise error

        with pytest.raises(type(error)):
            await act()
        (ended,) = await actions(flow)
        assert (ended.state, ended.result.get("problem")) == (state, problem)


def test_a_reason_is_one_line() -> None:
    assert check_reason("  for INC-42 ") == "for INC-42"
    assert check_reason("  ") is None
    for wrong in ("two\nlines", "x" * 501, "\x00", "\u202e"):
        with pytest.raises(InvalidInput):
            check_reason(wrong)
