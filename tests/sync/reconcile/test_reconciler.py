"""Each kind of drift is found and repaired, and nothing that only looks like drift is touched."""

import asyncio
import time
from dataclasses import replace

import pytest

from tests.support.drift import execute, factory, lose_what_waits, names, reconcile, synced
from tests.support.fake import FakeError
from tests.support.flow import running_worker
from zenskar import FailureKind, IntentKind
from zenskar.db import connections
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import InvalidInput, StateConflict
from zenskar.model.missing import Missing
from zenskar.sync.reconcile.report import ReconcileProgress


async def test_equal_sides_show_no_drift_and_nothing_is_written(database_url: str) -> None:
    async with synced(database_url, 5) as (flow, system):
        system.page_size = 2
        before = await flow.rows("SELECT * FROM external_mappings ORDER BY external_id")
        events = await flow.scalar("SELECT count(*) FROM sync_events")
        report = await reconcile(flow)
        assert (report.complete, report.objects, dict(report.found)) == (True, 5, {})
        assert system.pages == [None, "2", "4"]
        assert system.fetches == []
        assert await flow.rows("SELECT * FROM external_mappings ORDER BY external_id") == before
        assert await flow.scalar("SELECT count(*) FROM sync_events") == events
        assert await flow.scalar("SELECT count(*) FROM survey_seen") == 0
        assert await flow.scalar("SELECT count(*) FROM checkpoints") == 0


async def test_the_result_of_the_last_complete_run_is_kept(database_url: str) -> None:
    async with synced(database_url, 1) as (flow, system):
        system.create(name="Grace")
        await reconcile(flow)
        (row,) = await flow.rows("SELECT * FROM comparisons")
        assert (row["found"], row["remaining"]) == ({"missing_here": 1}, {"missing_here": 1})
        readable = system.reading

        def break_off(_hook: str, _about: str | None) -> None:
            raise FakeError(FailureKind.TRANSIENT)

        system.reading = break_off
        assert not (await reconcile(flow)).complete
        system.reading = readable
        assert await flow.rows("SELECT * FROM comparisons") == [row]
        async with running_worker(flow.runtime):
            await reconcile(flow, repair=True)
        (after,) = await flow.rows("SELECT * FROM comparisons")
        assert (after["found"], after["remaining"]) == ({"missing_here": 1}, {})
        assert after["ended_at"] > row["ended_at"]


async def test_an_object_without_a_record_is_missing_here(database_url: str) -> None:
    async with synced(database_url, 1) as (flow, system):
        external_id = system.create(name="Grace")
        report = await reconcile(flow)
        assert dict(report.found) == dict(report.remaining) == {"missing_here": 1}
        (example,) = report.examples
        assert (example.external_id, example.record_id, example.repaired) == (
            external_id,
            None,
            None,
        )
        assert await names(flow) == ["Customer 0"]
        async with running_worker(flow.runtime):
            repaired = await reconcile(flow, repair=True)
        assert (dict(repaired.found), repaired.drifts) == ({"missing_here": 1}, 0)
        assert repaired.examples[0].repaired is True
        assert await names(flow) == ["Customer 0", "Grace"]
        (event,) = await flow.rows("SELECT * FROM sync_events WHERE event_type LIKE '%.fetched'")
        assert (event["status"], event["reason"]) == ("succeeded", "created")
        assert system.calls == []


async def test_a_missed_edit_there_is_found_by_its_fields_alone(database_url: str) -> None:
    async with synced(database_url, 3) as (flow, system):
        system.edit("obj_2", email="secret@example.com", metadata={"plan": "pro"})
        report = await reconcile(flow)
        assert dict(report.found) == {"different": 1}
        (example,) = report.examples
        assert example.fields == ("/email", "/metadata/plan")
        assert "secret" not in str(report.to_json())
        async with running_worker(flow.runtime):
            repaired = await reconcile(flow, repair=True)
        assert repaired.drifts == 0
        emails = await flow.rows("SELECT email FROM customers WHERE email IS NOT NULL")
        assert emails == [{"email": "secret@example.com"}]
        assert system.calls == []


async def test_a_lost_push_is_found_and_sent(database_url: str) -> None:
    async with synced(database_url, 2) as (flow, system):
        await execute(flow, "UPDATE customers SET phone = '+91 1' WHERE name = 'Customer 1'")
        report = await reconcile(flow)
        assert [(e.kind, e.fields) for e in report.examples] == [("different", ("/phone",))]
        async with running_worker(flow.runtime):
            repaired = await reconcile(flow, repair=True)
        assert (repaired.drifts, len(system.calls)) == (0, 1)
        assert [data and data.get("phone") for data in system.objects.values()] == [None, "+91 1"]


async def test_an_edit_there_is_taken_in_before_anything_is_pushed(database_url: str) -> None:
    async with synced(database_url, 1) as (flow, system):
        system.edit("obj_0", name="There")
        await execute(flow, "UPDATE customers SET name = 'Here'")
        async with running_worker(flow.runtime):
            assert (await reconcile(flow, repair=True)).drifts == 0
        assert system.objects["obj_0"] == {"name": "Here", "metadata": {}}
        history = "SELECT count(*) FROM sync_event_history WHERE detail LIKE :conflict"
        assert await flow.scalar(history, conflict='%"external":"There"%') == 1


async def test_an_object_that_is_gone_takes_its_record_with_it(database_url: str) -> None:
    async with synced(database_url, 3) as (flow, system):
        system.objects["obj_2"] = None
        report = await reconcile(flow)
        assert dict(report.found) == {"missing_there": 1}
        assert report.examples[0].external_id == "obj_2"
        assert len(await names(flow)) == 3
        async with running_worker(flow.runtime):
            repaired = await reconcile(flow, repair=True)
        assert repaired.drifts == 0
        assert await names(flow) == ["Customer 0", "Customer 2"]
        assert system.calls == []


async def test_an_object_that_is_not_visible_is_listed_and_left_alone(database_url: str) -> None:
    async with synced(database_url, 3) as (flow, system):
        mine = system.objects.pop("obj_2")
        async with running_worker(flow.runtime):
            report = await reconcile(flow, repair=True)
        assert dict(report.remaining) == {"missing_there": 1}
        assert report.examples[0].external_id == "obj_2"
        assert report.examples[0].repaired is False
        assert len(await names(flow)) == 3
        system.objects["obj_2"] = mine
        assert (await reconcile(flow)).drifts == 0
        assert system.calls == []


@pytest.mark.parametrize("known_deleted", [True, False])
async def test_another_object_is_made_for_a_missing_one_when_told(
    database_url: str, known_deleted: bool
) -> None:
    async with synced(database_url, 3) as (flow, system):
        del system.objects["obj_2"]
        if known_deleted:
            system.objects["obj_2"] = None
        async with running_worker(flow.runtime):
            report = await reconcile(flow, repair=True, missing=Missing.RECREATE)
            assert (dict(report.found), report.drifts) == ({"missing_there": 1}, 0)
            assert len(await names(flow)) == 3
            assert [push.kind for push in system.calls] == [IntentKind.CREATE]
            assert (await reconcile(flow, repair=True)).drifts == 0
        living = [one["name"] for one in system.objects.values() if one is not None]
        assert sorted(living) == ["Customer 0", "Customer 1", "Customer 2"]


async def test_the_record_of_a_missing_object_is_deleted_when_told(database_url: str) -> None:
    async with synced(database_url, 3) as (flow, system):
        del system.objects["obj_2"]
        async with running_worker(flow.runtime):
            report = await reconcile(flow, repair=True, missing=Missing.DELETE)
        assert (dict(report.found), report.drifts) == ({"missing_there": 1}, 0)
        assert await names(flow) == ["Customer 0", "Customer 2"]


@pytest.mark.parametrize(("listed", "deleted"), [(0, 12), (9, 12)])
async def test_a_repair_stops_before_too_many_missing_objects(
    database_url: str, listed: int, deleted: int
) -> None:
    async with synced(database_url, 12 + listed, delete_guard_limit=0) as (flow, system):
        for number in range(deleted):
            system.objects[f"obj_{2 * number}"] = None
        async with running_worker(flow.runtime):
            with pytest.raises(StateConflict, match="--force"):
                await reconcile(flow, repair=True)
            assert len(await names(flow)) == 12 + listed
            report = await reconcile(flow, repair=True, force=True)
        assert (report.drifts, len(await names(flow))) == (0, listed)


@pytest.mark.parametrize("missing", list(Missing))
async def test_a_repair_stops_before_an_empty_list(database_url: str, missing: Missing) -> None:
    async with synced(database_url, 2) as (flow, system):
        system.objects.clear()
        async with running_worker(flow.runtime):
            with pytest.raises(StateConflict, match="0 objects are listed"):
                await reconcile(flow, repair=True, missing=missing)
            assert dict((await reconcile(flow, repair=True)).remaining) == {"missing_there": 2}
        assert (len(await names(flow)), system.calls) == (2, [])


async def test_an_object_that_outlived_its_record_is_taken_in(database_url: str) -> None:
    """Duplicates were merged: the copy carries our id, and the original was deleted."""
    async with synced(database_url, 1) as (flow, system):
        record_id = str(await flow.scalar("SELECT id FROM customers"))
        system.delete("obj_0")
        copy = system.create(name="The copy", record_id=record_id)
        announced = system.webhooks.copy()
        system.webhooks[:] = announced[::-1]
        async with running_worker(flow.runtime):
            await flow.deliver()
            await flow.settle()
            report = await reconcile(flow, repair=True)
            assert report.drifts == 0
            assert await names(flow) == ["The copy"]
            assert (await reconcile(flow, repair=True)).drifts == 0
            system.edit(copy, name="Edited")
            system.webhooks.clear()
            await execute(
                flow, "UPDATE external_mappings SET asof_low = 0, asof_high = 1, revision = 9"
            )
            assert (await reconcile(flow, repair=True)).drifts == 0
        assert await names(flow) == ["Edited"]


async def test_a_fetch_that_says_gone_means_gone(database_url: str) -> None:
    async with synced(database_url, 2) as (flow, system):
        del system.objects["obj_0"]

        def refuse(hook: str, about: str | None) -> None:
            if (hook, about) == ("fetch", "obj_0"):
                raise FakeError(FailureKind.GONE)

        system.reading = refuse
        assert dict((await reconcile(flow)).found) == {"missing_there": 1}


async def test_a_record_whose_create_was_lost_is_made_there(database_url: str) -> None:
    async with synced(database_url, 1) as (flow, system):
        record_id = await flow.create(name="Ada")
        await lose_what_waits(flow)
        report = await reconcile(flow)
        assert [(e.kind, e.record_id) for e in report.examples] == [("missing_there", record_id)]
        async with running_worker(flow.runtime):
            repaired = await reconcile(flow, repair=True)
        assert repaired.drifts == 0
        assert [data and data["name"] for data in system.objects.values()] == ["Customer 0", "Ada"]


async def test_a_lost_create_that_had_an_effect_is_linked_and_not_repeated(
    database_url: str,
) -> None:
    async with synced(database_url, 0) as (flow, system):
        record_id = await flow.create(name="Ada")
        await lose_what_waits(flow)
        system.create(name="Ada", email="ada@example.com", record_id=record_id)
        async with running_worker(flow.runtime):
            report = await reconcile(flow, repair=True)
        assert (dict(report.found), report.drifts) == ({"missing_here": 1}, 0)
        assert (await flow.mapping(record_id))["external_id"] == "obj_0"
        assert (await names(flow), len(system.objects)) == (["Ada"], 1)


async def test_what_lives_on_behind_a_tombstone_is_reported_and_stays(database_url: str) -> None:
    async with synced(database_url, 2) as (flow, system):
        before = system.objects["obj_0"]
        system.delete("obj_0")
        async with running_worker(flow.runtime):
            await flow.deliver()
            system.objects["obj_0"] = before
            report = await reconcile(flow, repair=True)
        assert dict(report.found) == dict(report.remaining) == {"deleted_here": 1}
        assert report.examples[0].repaired is False
        assert await names(flow) == ["Customer 1"]


@pytest.mark.parametrize("propagate", [True, False])
async def test_a_lost_delete_is_sent_only_where_deletes_are(
    database_url: str, propagate: bool
) -> None:
    async with synced(database_url, 2, propagate_deletes=propagate) as (flow, system):
        await execute(flow, "UPDATE customers SET deleted_at = now() WHERE name = 'Customer 0'")
        report = await reconcile(flow)
        assert dict(report.found) == ({"deleted_here": 1} if propagate else {})
        async with running_worker(flow.runtime):
            assert (await reconcile(flow, repair=True)).drifts == 0
        assert (system.objects["obj_0"] is None) is propagate


async def test_a_record_that_was_let_go_of_is_no_drift(database_url: str) -> None:
    async with synced(database_url, 1) as (flow, system):
        (row,) = await flow.rows("SELECT CAST(id AS text) AS id FROM customers")
        await flow.runtime.customers.delete(row["id"], correlation_id="test")
        async with running_worker(flow.runtime):
            await flow.settle()
        assert system.objects["obj_0"] is not None
        assert dict((await reconcile(flow)).found) == {}


async def test_a_second_object_that_claims_a_record_is_reported(database_url: str) -> None:
    async with synced(database_url, 1) as (flow, system):
        (row,) = await flow.rows("SELECT CAST(id AS text) AS id FROM customers")
        copy = system.create(name="Customer 0", record_id=row["id"])
        async with running_worker(flow.runtime):
            report = await reconcile(flow, repair=True)
        assert dict(report.remaining) == {"duplicate": 1}
        assert (report.examples[0].external_id, report.examples[0].record_id) == (copy, row["id"])
        assert await names(flow) == ["Customer 0"]


async def test_an_object_that_is_not_valid_is_counted_and_stops_nothing(
    database_url: str,
) -> None:
    async with synced(database_url, 2) as (flow, system):
        system.objects["obj_0"] = {"name": 5}
        system.create(name="Grace")
        report = await reconcile(flow)
        assert (report.invalid, dict(report.found)) == (1, {"missing_here": 1})
        (told,) = report.not_read
        assert (told.kind, told.external_id) == ("rejected", "obj_0")
        assert "/name" in told.why
        assert not report.clean


async def test_an_object_that_cannot_be_fetched_is_told(database_url: str) -> None:
    async with synced(database_url, 1) as (flow, system):
        held, system.objects["obj_0"] = system.objects["obj_0"], None

        def refuse(hook: str, about: str | None) -> None:
            if hook == "fetch":
                system.objects["obj_0"] = held
                raise FakeError(FailureKind.REJECTED)

        system.reading = refuse
        report = await reconcile(flow)
        assert [(x.kind, x.external_id) for x in report.not_read] == [("rejected", "obj_0")]
        assert (report.invalid, report.clean) == (1, False)


async def test_objects_whose_ids_cannot_be_kept_are_told_and_stop_nothing(
    database_url: str,
) -> None:
    async with synced(database_url, 1) as (flow, system):
        odd = {"a\0": {"name": "A"}, "o" * 600: {"name": "B"}, "x\ud800": {"name": "C"}}
        system.objects |= odd
        report = await reconcile(flow)
        assert (report.complete, report.objects, report.invalid) == (True, 4, 3)
        assert dict(report.found) == {}


async def test_an_incomplete_list_deletes_nothing(database_url: str) -> None:
    async with synced(database_url, 6, retry_max_attempts=2) as (flow, system):
        system.page_size = 2
        system.objects["obj_1"] = None

        def break_off(hook: str, about: str | None) -> None:
            if (hook, about) == ("list_page", "2"):
                raise FakeError(FailureKind.TRANSIENT)

        system.reading = break_off
        async with running_worker(flow.runtime):
            report = await reconcile(flow, repair=True)
        assert (report.complete, report.problem) == (False, "fake transient")
        assert system.pages == [None, "2", "2"]
        assert (dict(report.found), system.fetches) == ({}, [])
        assert len(await names(flow)) == 6


async def test_a_shifted_page_neither_misses_nor_deletes(database_url: str) -> None:
    async with synced(database_url, 6) as (flow, system):
        system.page_size = 2

        def shift(hook: str, about: str | None) -> None:
            if (hook, about) == ("list_page", "2"):
                system.delete("obj_0")

        system.reading = shift
        async with running_worker(flow.runtime):
            report = await reconcile(flow, repair=True)
        # The third object moved to the page that was read already, so it was not in the list.
        assert system.fetches == ["obj_4"]
        assert (report.complete, report.objects, dict(report.found)) == (True, 5, {})
        assert len(await names(flow)) == 6


async def test_a_change_of_ours_that_is_under_way_is_no_drift(database_url: str) -> None:
    async with synced(database_url, 2) as (flow, _):
        (row,) = await flow.rows(
            "SELECT CAST(id AS text) AS id FROM customers WHERE name = 'Customer 0'"
        )
        patch = {"phone": "+91 1"}
        await flow.runtime.customers.patch(row["id"], patch, correlation_id="test")
        await flow.create(name="New")
        report = await reconcile(flow)
        assert (dict(report.found), report.under_way) == ({}, 2)


async def test_a_webhook_that_is_under_way_is_no_drift(database_url: str) -> None:
    async with synced(database_url, 2) as (flow, system):
        system.edit("obj_0", name="Changed")
        system.create(name="New")

        async def deliver(_seconds: float) -> None:
            async with running_worker(flow.runtime):
                await flow.deliver()

        tools = factory(flow).reconciler(settle_seconds=3)
        report = await replace(tools, sleep=deliver).run("fake", "customer")
        assert (dict(report.found), report.under_way) == ({}, 0)
        assert await names(flow) == ["Changed", "Customer 1", "New"]


async def test_a_webhook_that_waits_on_the_bus_is_no_drift(database_url: str) -> None:
    async with synced(database_url, 1) as (flow, system):
        system.create(name="New")
        await flow.runtime.ingress.accept("fake", system.webhooks.pop(), "test")
        report = await reconcile(flow)
        assert (dict(report.found), report.under_way) == ({}, 1)


async def test_a_change_during_the_last_look_is_no_drift(database_url: str) -> None:
    async with synced(database_url, 1) as (flow, system):
        system.edit("obj_0", name="There")

        async def meanwhile(hook: str, _about: str | None) -> None:
            if hook == "fetch":
                await execute(flow, "UPDATE external_mappings SET revision = revision + 1")

        system.reading = meanwhile
        report = await reconcile(flow)
        assert (dict(report.found), report.under_way) == ({}, 1)
        system.reading = lambda _hook, _about: None
        assert dict((await reconcile(flow)).found) == {"different": 1}


async def test_a_killed_run_goes_on_at_its_checkpoint(database_url: str) -> None:
    async with synced(database_url, 6) as (flow, system):
        system.page_size = 2
        system.edit("obj_0", name="Changed")
        stuck = asyncio.Event()

        def stop(progress: ReconcileProgress) -> None:
            if progress.done == 4:
                stuck.set()
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await reconcile(flow, on_progress=stop)
        assert system.pages == [None, "2"]
        system.pages.clear()
        report = await reconcile(flow)
        assert system.pages == ["4"]
        assert (report.complete, report.objects) == (True, 6)
        assert dict(report.found) == {"different": 1}


async def test_a_restart_begins_again_and_an_old_checkpoint_too(database_url: str) -> None:
    async with synced(database_url, 4) as (flow, system):
        system.page_size = 2

        def stop(_progress: ReconcileProgress) -> None:
            raise asyncio.CancelledError

        for options in ({"restart": True}, {}):
            with pytest.raises(asyncio.CancelledError):
                await reconcile(flow, on_progress=stop, restart=True)
            await execute(flow, "UPDATE checkpoints SET updated_at = now() - interval '25 hours'")
            system.pages.clear()
            report = await reconcile(flow, **options)
            assert (report.objects, system.pages) == (4, [None, "2"])
            assert await flow.scalar("SELECT count(*) FROM survey_seen") == 0


async def test_a_repair_mends_what_a_stopped_run_only_counted(database_url: str) -> None:
    async with synced(database_url, 2) as (flow, system):
        system.edit("obj_0", name="Changed")

        def stop(progress: ReconcileProgress) -> None:
            if progress.found:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await reconcile(flow, on_progress=stop)
        async with running_worker(flow.runtime):
            report = await reconcile(flow, repair=True)
        assert (dict(report.found), report.drifts) == ({"different": 1}, 0)
        assert await names(flow) == ["Changed", "Customer 1"]


async def test_a_repair_that_goes_on_counts_what_the_stopped_one_mended(database_url: str) -> None:
    """The report said that no drift had been found."""
    async with synced(database_url, 3) as (flow, system):
        system.edit("obj_0", name="Changed")
        looked = []

        async def stop_before_it_is_counted(hook: str, about: str | None) -> None:
            looked.append((hook, about))
            if looked.count(("fetch", "obj_0")) == 2:
                run.cancel()
                await asyncio.sleep(0)

        system.reading = stop_before_it_is_counted
        async with running_worker(flow.runtime):
            run = asyncio.create_task(reconcile(flow, repair=True))
            with pytest.raises(asyncio.CancelledError):
                await run
            assert await names(flow) == ["Changed", "Customer 1", "Customer 2"]
            system.reading = lambda _hook, _about: None
            report = await reconcile(flow, repair=True)
        assert (dict(report.found), report.drifts) == ({"different": 1}, 0)
        assert [(e.external_id, e.repaired) for e in report.examples] == [("obj_0", True)]


async def test_a_run_that_goes_on_shows_how_far_it_was(database_url: str) -> None:
    async with synced(database_url, 6) as (flow, system):
        system.page_size = 2
        shown: list[ReconcileProgress] = []

        def stop(progress: ReconcileProgress) -> None:
            if progress.done == 4:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await reconcile(flow, on_progress=stop)
        await reconcile(flow, on_progress=shown.append)
        assert [each.done for each in shown] == [6, 0, 0, 0]


async def test_a_run_that_somebody_else_took_up_stops(database_url: str) -> None:
    async with synced(database_url, 4) as (flow, system):
        system.page_size = 2

        def steal(hook: str, about: str | None) -> None:
            if about == "2":
                system.reading = lambda _hook, _about: None
                stolen.set_result(asyncio.ensure_future(reconcile(flow)))

        stolen = asyncio.get_running_loop().create_future()
        system.reading = steal
        first = asyncio.ensure_future(reconcile(flow))
        async with asyncio.timeout(20):
            second = await stolen
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert any(not isinstance(result, BaseException) for result in results)
        assert all(isinstance(r, StateConflict) for r in results if isinstance(r, BaseException))


async def test_a_repair_that_nobody_works_on_says_what_remains(database_url: str) -> None:
    async with synced(database_url, 1) as (flow, system):
        system.edit("obj_0", name="Changed")
        reconciler = factory(flow).reconciler(settle_seconds=0, wait_seconds=0.05)
        report = await reconciler.run("fake", "customer", repair=True)
        assert dict(report.remaining) == {"different": 1}
        assert report.examples[0].repaired is False


async def test_a_flood_of_deletes_is_held_back_and_remains(database_url: str) -> None:
    async with synced(database_url, 5, delete_guard_limit=2) as (flow, system):
        system.objects.update(dict.fromkeys(system.objects))
        async with running_worker(flow.runtime):
            report = await reconcile(flow, repair=True, force=True)
        assert dict(report.remaining) == {"missing_there": 5}
        assert len(await names(flow)) == 5
        assert await flow.scalar("SELECT reason FROM connections") == "delete_guard"
        assert dict((await reconcile(flow)).found) == {}
        with pytest.raises(StateConflict, match="delete_guard"):
            await reconcile(flow, repair=True)


async def test_a_paused_connection_and_a_wrong_entity_are_refused(database_url: str) -> None:
    async with synced(database_url, 0) as (flow, system):
        with pytest.raises(InvalidInput, match="customer"):
            await factory(flow).reconciler().run("fake", "invoice")
        await in_transaction(
            flow.runtime.engine, lambda c: connections.pause(c, "fake", "paused by an operator")
        )
        with pytest.raises(StateConflict, match="paused"):
            await reconcile(flow)
        assert system.pages == []


async def test_thousands_of_objects_take_seconds(database_url: str) -> None:
    async with synced(database_url, 0) as (flow, system):
        system.objects = {f"obj_{n}": {"name": f"Customer {n}"} for n in range(3000)}
        async with running_worker(flow.runtime):
            await factory(flow).backfiller().run("fake", "customer")
        for number in range(0, 3000, 100):
            system.edit(f"obj_{number}", name="Changed")
        started = time.monotonic()
        report = await reconcile(flow)
        assert (report.objects, dict(report.found)) == (3000, {"different": 30})
        assert len(report.examples) == 5
        assert time.monotonic() - started < 20
