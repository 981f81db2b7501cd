"""A backfill imports every object that changes a record, and resumes where it was stopped."""

import asyncio
import time
from dataclasses import replace

import pytest

from tests.support.drift import execute, factory, names, synced
from tests.support.fake import FakeError, FakeIntegration
from tests.support.flow import Flow, open_flow, running_worker
from zenskar import ExternalObject, FailureKind, Page
from zenskar.errors import CallFailed, Unavailable
from zenskar.sync.reconcile.backfill import BackfillCount
from zenskar.sync.reconcile.report import OnProgress, ReconcileProgress, silent


async def backfill(flow: Flow, on_progress: OnProgress = silent, **options: bool) -> BackfillCount:
    backfiller = factory(flow).backfiller(wait_seconds=10)
    return await backfiller.run("fake", "customer", on_progress=on_progress, **options)


async def test_everything_is_taken_in_once_and_again_nothing(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        system.page_size = 3
        for number in range(7):
            system.create(name=f"Customer {number}")
        intake = await backfill(flow)
        assert (intake.complete, intake.objects, intake.published) == (True, 7, 7)
        assert intake.verdicts == {"created": 7}
        assert len(await names(flow)) == 7
        kinds = await flow.rows("SELECT DISTINCT event_type, status FROM sync_events")
        assert kinds == [{"event_type": "customer.listed", "status": "succeeded"}]
        again = await backfill(flow)
        assert (again.published, again.verdicts) == (0, {"confirmed": 7})
        assert await flow.scalar("SELECT count(*) FROM sync_events") == 7
        assert await flow.scalar("SELECT count(*) FROM checkpoints") == 0
        assert system.calls == []


async def test_only_what_changed_is_taken_in(database_url: str) -> None:
    async with synced(database_url, 3) as (flow, system):
        system.edit("obj_0", name="Changed")
        system.create(name="New")
        async with running_worker(flow.runtime):
            intake = await backfill(flow)
        assert (intake.published, intake.dead) == (2, 0)
        assert intake.verdicts == {"merged": 1, "created": 1, "confirmed": 2}
        assert await names(flow) == ["Changed", "Customer 1", "Customer 2", "New"]


async def test_other_connections_follow(database_url: str) -> None:
    async with open_flow(database_url, "fake", "other") as flow:
        flow.systems["fake"].create(name="Grace")
        await backfill(flow)
        await flow.settle()
        assert [data and data["name"] for data in flow.systems["other"].objects.values()] == [
            "Grace"
        ]


async def test_a_record_whose_object_is_listed_without_news_of_it_is_linked(
    database_url: str,
) -> None:
    async with open_flow(database_url, working=False) as flow:
        record_id = await flow.create(name="Ada")
        await execute(flow, "DELETE FROM outbox")
        flow.systems["fake"].create(name="Ada", email="ada@example.com", record_id=record_id)
        async with running_worker(flow.runtime):
            intake = await backfill(flow)
        assert intake.verdicts == {"linked": 1}
        assert len(await names(flow)) == 1


async def test_what_is_not_valid_is_counted_and_stops_nothing(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        system.create(name=5)
        system.create(name="Grace")
        intake = await backfill(flow)
        assert (intake.objects, intake.invalid, intake.published) == (2, 1, 1)
        (told,) = intake.not_read
        assert (told["kind"], told["external_id"]) == ("rejected", "obj_0")
        assert await names(flow) == ["Grace"]


async def test_a_failing_list_stops_it_and_the_next_run_goes_on(database_url: str) -> None:
    async with open_flow(database_url, retry_max_attempts=1) as flow:
        system = flow.systems["fake"]
        system.page_size = 2
        for number in range(6):
            system.create(name=f"Customer {number}")

        def break_off(_hook: str, about: str | None) -> None:
            if about == "4":
                raise FakeError(FailureKind.CREDENTIALS)

        system.reading = break_off
        stopped = await backfill(flow)
        assert (stopped.complete, stopped.problem) == (False, "fake credentials")
        assert len(await names(flow)) == 4
        system.reading = lambda _hook, _about: None
        system.pages.clear()
        intake = await backfill(flow)
        assert (intake.complete, intake.objects, intake.published) == (True, 6, 6)
        assert system.pages == ["4"]
        assert len(await names(flow)) == 6


async def test_a_killed_run_goes_on_at_its_checkpoint_unless_told_otherwise(
    database_url: str,
) -> None:
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        system.page_size = 2
        for number in range(5):
            system.create(name=f"Customer {number}")

        def stop(_progress: ReconcileProgress) -> None:
            raise asyncio.CancelledError

        for restart, pages in ((False, ["2", "4"]), (True, [None, "2", "4"])):
            with pytest.raises(asyncio.CancelledError):
                await backfill(flow, stop, restart=True)
            system.pages.clear()
            assert (await backfill(flow, restart=restart)).objects == 5
            assert system.pages == pages
        assert len(await names(flow)) == 5


async def test_without_a_worker_it_says_so(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        flow.systems["fake"].create(name="Grace")
        backfiller = factory(flow).backfiller(wait_seconds=0.05)
        with pytest.raises(Unavailable, match="is a worker running"):
            await backfiller.run("fake", "customer")
        assert await flow.scalar("SELECT count(*) FROM outbox") == 1


async def test_thousands_of_objects_take_seconds(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        system.objects = {f"obj_{n}": {"name": f"Customer {n}"} for n in range(5000)}
        seen: list[int] = []
        started = time.monotonic()
        intake = await backfill(flow, lambda progress: seen.append(progress.done))
        assert intake.published == 5000
        assert len(await names(flow)) == 5000
        assert seen == sorted(seen)
        assert seen[-1] == 5000
        assert time.monotonic() - started < 60


async def test_a_list_whose_pages_lead_in_a_circle_ends(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def circle(_: FakeIntegration, objects: list[ExternalObject], first: int) -> Page:
        return Page((objects[first % 3],), {3: "1"}.get(first, str(first + 1)))

    monkeypatch.setattr(FakeIntegration, "_page", circle)
    async with synced(database_url, 3) as (flow, system):
        async with running_worker(flow.runtime):
            intake = await backfill(flow)
        assert (intake.complete, len(system.pages) < 12) == (False, True)
        assert "returned a cursor again" in str(intake.problem)
        system.pages.clear()
        compared = await factory(flow).reconciler(settle_seconds=0).run("fake", "customer")
        assert (compared.complete, len(system.pages) < 12) == (False, True)
        system.pages.clear()
        with pytest.raises(CallFailed, match="returned a cursor again"):
            await factory(flow).join_planner().plan("fake", "customer")
        assert len(system.pages) < 12


async def test_an_object_that_one_page_shows_twice_ends_as_it_is(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        system.create(name="Eve")
        shown = FakeIntegration._page

        def twice(self: FakeIntegration, objects: list[ExternalObject], first: int) -> Page:
            older = [replace(each, data={"name": "Ada"}) for each in objects]
            return shown(self, [*older, *objects], first)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(FakeIntegration, "_page", twice)
            intake = await backfill(flow)
        await flow.settle()
        assert (intake.complete, intake.published) == (True, 2)
        assert await names(flow) == ["Eve"]
