"""Runs in the background: requested once, carried out by a worker, watched, stopped, resumed."""

import asyncio
from typing import Any

import pytest

from tests.ops.test_connections import ALIVE, flooded
from tests.support.drift import execute, names, synced
from tests.support.fake import FakeSystem
from tests.support.flow import Flow, open_flow, running_worker
from tests.support.wait import until
from zenskar.db.driver.engine import in_transaction
from zenskar.db.operators import runs
from zenskar.db.operators.actions import ActionFilter
from zenskar.db.operators.runs import OperatorRun
from zenskar.errors import InvalidInput, StateConflict
from zenskar.model.actor import Actor
from zenskar.model.missing import Missing
from zenskar.model.operator_run import RunKind
from zenskar.ops import audit
from zenskar.ops.runs import run_requests
from zenskar.ops.runs.run_job import RunJob
from zenskar.ops.runs.run_requests import RunRequest
from zenskar.sync.reconcile.backfill import Backfiller

BY = Actor("Ada", "a test", "after a restore")


async def request(flow: Flow, kind: RunKind, **options: Any) -> OperatorRun:
    entity = {} if kind is RunKind.DROP_DELETES else {"entity_type": "customer"}
    wanted = RunRequest(kind, "fake", **(entity | options))
    return await in_transaction(
        flow.runtime.engine, lambda c: run_requests.request_run(c, wanted, BY)
    )


async def read(flow: Flow, run: OperatorRun) -> OperatorRun:
    return await in_transaction(flow.runtime.engine, lambda c: run_requests.read(c, run.id))


async def ended(flow: Flow, run: OperatorRun) -> OperatorRun:
    async def has_ended() -> bool:
        return (await read(flow, run)).ended_at is not None

    await until(has_ended)
    return await read(flow, run)


async def carried_out(flow: Flow, kind: RunKind, **options: Any) -> OperatorRun:
    """Request a run, and carry it out beside workers as the scheduler does."""
    run = await request(flow, kind, **options)
    await RunJob(flow.runtime.operations(), settle_seconds=0.0).run("fake")
    return await read(flow, run)


async def actions(flow: Flow) -> list[tuple[str, str]]:
    page = await in_transaction(
        flow.runtime.engine, lambda c: audit.page(c, ActionFilter(), limit=50)
    )
    return [(each.action, each.state) for each in page.actions]


async def test_a_difference_is_compared_planned_and_repaired(database_url: str) -> None:
    async with synced(database_url, 2) as (flow, system):
        system.create(name="Grace")
        system.webhooks.clear()
        compared = await carried_out(flow, RunKind.COMPARE)
        assert (compared.state, compared.result["found"]) == ("done", {"missing_here": 1})
        assert await actions(flow) == []
        planned = await carried_out(flow, RunKind.PLAN_REPAIR)
        assert (planned.has_plan, planned.result["counts"]["create_here"]) == (True, 1)
        assert await names(flow) == ["Customer 0", "Customer 1"]
        async with running_worker(flow.runtime, "inbound", "outbound"):
            applied = await carried_out(flow, RunKind.APPLY_REPAIR, plan_of=planned.id)
        assert (applied.state, applied.result["done"]) == ("done", 1)
        assert await names(flow) == ["Customer 0", "Customer 1", "Grace"]
        assert (await carried_out(flow, RunKind.COMPARE)).result["found"] == {}
        assert await actions(flow) == [("apply_repair", "done")]


async def test_a_worker_begins_a_requested_run_by_itself(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        flow.systems["fake"].create(name="Grace")
        flow.systems["fake"].webhooks.clear()
        done = await ended(flow, await request(flow, RunKind.BACKFILL))
        assert (done.state, done.result["published"]) == ("done", 1)
        assert done.by == "Ada"
        assert await names(flow) == ["Grace"]
        assert await actions(flow) == [("backfill", "done")]


async def test_only_one_run_of_an_entity_is_in_progress(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        first = await request(flow, RunKind.COMPARE)
        with pytest.raises(StateConflict, match="another run"):
            await request(flow, RunKind.BACKFILL)
        stopped = await in_transaction(
            flow.runtime.engine, lambda c: run_requests.stop(c, first.id, BY)
        )
        assert (stopped.state, stopped.ended_at is None) == ("stopped", False)
        with pytest.raises(StateConflict, match="already"):
            await in_transaction(flow.runtime.engine, lambda c: run_requests.stop(c, first.id, BY))
        await request(flow, RunKind.BACKFILL)
        assert await actions(flow) == [("stop", "done")]


def hang(system: FakeSystem) -> tuple[asyncio.Event, asyncio.Event]:
    """Delay list pages: return an event that the call sets, and one that the page waits for."""
    asked, answer = asyncio.Event(), asyncio.Event()

    async def wait(hook: str, _about: str | None) -> None:
        if hook == "list_page":
            asked.set()
            await answer.wait()

    system.reading = wait
    return asked, answer


async def test_a_running_run_is_stopped_and_the_next_request_goes_on(database_url: str) -> None:
    async with synced(database_url, 3) as (flow, system):
        asked, answer = hang(system)
        run = await request(flow, RunKind.REPAIR)
        job = RunJob(flow.runtime.operations(), beat_seconds=0.01, settle_seconds=0.0)
        task = asyncio.create_task(job.run("fake"))
        await asked.wait()
        assert (await read(flow, run)).state == "running"
        await in_transaction(flow.runtime.engine, lambda c: run_requests.stop(c, run.id, BY))
        await task
        assert (await read(flow, run)).state == "stopped"
        assert await actions(flow) == [("stop", "done"), ("repair", "stopped")]
        answer.set()
        assert (await carried_out(flow, RunKind.COMPARE)).result["objects"] == 3


async def test_a_run_of_a_dead_worker_is_resumed_by_another(database_url: str) -> None:
    async with synced(database_url, 3) as (flow, _):
        run = await request(flow, RunKind.COMPARE)
        engine = flow.runtime.engine
        claimed = await in_transaction(engine, lambda c: runs.claim(c, "fake", "dead", 600.0))
        assert claimed is not None
        job = RunJob(flow.runtime.operations(), settle_seconds=0.0)
        await job.run("fake")
        assert (await read(flow, run)).state == "running"
        await execute(flow, "UPDATE operator_runs SET lease_until = now() - interval '1 second'")
        await job.run("fake")
        assert (await read(flow, run)).state == "done"
        late = await in_transaction(engine, lambda c: runs.beat(c, run.id, "dead", {}, 600.0))
        assert late is None


async def test_a_worker_that_shuts_down_leaves_its_run_to_another(database_url: str) -> None:
    async with synced(database_url, 3) as (flow, system):
        asked, answer = hang(system)
        run = await request(flow, RunKind.COMPARE)
        job = RunJob(flow.runtime.operations(), settle_seconds=0.0)
        task = asyncio.create_task(job.run("fake"))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        answer.set()
        await job.run("fake")
        assert (await read(flow, run)).state == "done"


async def test_the_brake_of_a_repair_ends_the_run_with_the_reason(database_url: str) -> None:
    async with synced(database_url, 12) as (flow, system):
        for external_id in system.objects:
            system.objects[external_id] = None
        run = await carried_out(flow, RunKind.REPAIR, missing=Missing.DELETE)
        assert (run.state, run.problem is not None) == ("failed", True)
        assert "--force" in str(run.problem)
        assert await flow.scalar(ALIVE) == 12
        assert await actions(flow) == [("repair", "failed")]


async def test_chosen_held_deletes_are_dropped_and_the_rest_stays_held(database_url: str) -> None:
    async with open_flow(database_url, delete_guard_limit=2) as flow:
        system = await flooded(flow, 6)
        held = await flow.rows("SELECT id, external_id FROM sync_events WHERE status = 'pending'")
        for each in held:
            system.objects[each["external_id"]] = {"name": "Alive"}
        chosen = (str(held[0]["id"]),)
        run = await ended(flow, await request(flow, RunKind.DROP_DELETES, event_ids=chosen))
        assert (run.state, run.result) == ("done", {"dropped": 1, "proven": 0})
        assert await flow.scalar("SELECT state FROM connections") == "paused"
        run = await ended(flow, await request(flow, RunKind.DROP_DELETES))
        assert run.result["dropped"] == len(held) - 1
        assert await flow.scalar("SELECT state FROM connections") == "active"
        await flow.settle()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (RunKind.COMPARE, {"missing": Missing.DELETE}),
        (RunKind.BACKFILL, {"force": True}),
        (RunKind.REPAIR, {"match_by": ("email",)}),
        (RunKind.APPLY_REPAIR, {}),
        (RunKind.COMPARE, {"plan_of": "0198f7a4-0000-7000-8000-000000000000"}),
        (RunKind.DROP_DELETES, {"entity_type": "customer"}),
        (RunKind.PLAN_JOIN, {"restart": True}),
    ],
)
async def test_options_fit_the_kind(
    database_url: str, kind: RunKind, options: dict[str, Any]
) -> None:
    async with open_flow(database_url, working=False) as flow:
        with pytest.raises(InvalidInput):
            await request(flow, kind, **options)


async def test_a_run_ends_with_any_text_of_its_problem(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose end cannot be stored would be carried out again and again."""

    async def fail(*_arguments: Any, **_options: Any) -> None:
        raise StateConflict(f"the object a\0{chr(0xD800)} changed")

    async with open_flow(database_url, working=False) as flow:
        monkeypatch.setattr(Backfiller, "run", fail)
        run = await carried_out(flow, RunKind.BACKFILL)
        assert (run.state, run.problem) == ("failed", "the object a\ufffd\ufffd changed")
        assert await actions(flow) == [("backfill", "failed")]


async def test_a_run_whose_worker_died_is_deserted_and_stops_without_another(
    database_url: str,
) -> None:
    async with open_flow(database_url, working=False) as flow:
        run = await request(flow, RunKind.COMPARE)
        assert not (await read(flow, run)).deserted
        for lease_seconds in (30.0, 0.0):
            await execute(flow, "UPDATE operator_runs SET lease_until = NULL")
            await in_transaction(
                flow.runtime.engine,
                lambda c, lease=lease_seconds: runs.claim(c, "fake", "a worker", lease),
            )
            assert (await read(flow, run)).deserted is (lease_seconds == 0.0)
        stopped = await in_transaction(
            flow.runtime.engine, lambda c: run_requests.stop(c, run.id, BY)
        )
        assert (stopped.state, stopped.deserted) == ("stopped", False)
        assert stopped.ended_at is not None
