"""An unknown object is linked to the free record with its values; a person decides every doubt."""

import asyncio
from typing import Any

import pytest

from tests.support.drift import factory, lose_what_waits, names
from tests.support.fake import FakeError, FakeSystem
from tests.support.flow import Flow, open_flow, running_worker
from zenskar import FailureKind, Interval, Push
from zenskar.db.driver.engine import transaction
from zenskar.db.events.event_log import EventFilter
from zenskar.errors import NotFound, StateConflict
from zenskar.ids import new_id
from zenskar.kernel import Verdict
from zenskar.model.actor import Actor
from zenskar.model.observation import Observation, ObservationKind
from zenskar.ops.link import ObjectLinker
from zenskar.ops.replay import Replay
from zenskar.schema_catalog import core_schemas
from zenskar.sync.reconcile.field_fate import FieldFate
from zenskar.sync.work import work_storage
from zenskar.sync.work.unit_of_work import UnitOfWork

BY_EMAIL = {"FAKE_MATCH_BY": "email"}
OPERATOR = Actor("ada", "a test")
ADA = "ada@example.com"


async def only_here(flow: Flow, **document: Any) -> str:
    """Create a record that no connection knows."""
    record_id = await flow.create(**document)
    await lose_what_waits(flow)
    return record_id


async def dead(flow: Flow) -> list[dict[str, Any]]:
    """Return the dead letters of objects that match no single free record."""
    return await flow.rows(
        "SELECT * FROM sync_events WHERE status = 'dead' AND reason = 'ambiguous_match'"
    )


async def retry(flow: Flow) -> None:
    topics: set[str] = set()
    replay = Replay(flow.runtime.engine, topics.add, core_schemas()["event"])
    assert await replay.retry(EventFilter(reason="ambiguous_match"), OPERATOR) == 1
    await flow.settle()


def linker(flow: Flow) -> ObjectLinker:
    return factory(flow).object_linker(wait_seconds=10)


@pytest.mark.parametrize("winner", [None, "external", "name=external,phone=internal"])
async def test_a_free_record_is_linked_and_both_sides_are_merged(
    database_url: str, winner: str | None
) -> None:
    rules = BY_EMAIL | ({"FAKE_JOIN_WINNER": winner} if winner else {})
    async with open_flow(database_url, working=False, environment=rules) as flow:
        system = flow.systems["fake"]
        record_id = await only_here(flow, name="Here", phone="1", metadata={"plan": "pro"})
        system.create(name="There", email=f" {ADA.upper()} ", address={"city": "Bern"})
        async with running_worker(flow.runtime):
            await flow.deliver()
        held, record = system.objects["obj_0"], await flow.record(record_id)
        assert held is not None
        name = "There" if winner else "Here"
        # No empty value beats a value, on either side.
        for side in (held, record):
            assert (side["name"], side["phone"]) == (name, "1")
            assert side["metadata"] == {"plan": "pro"}
            assert side["address"] == {"city": "Bern"}
        assert (await flow.mapping(record_id))["external_id"] == "obj_0"
        assert len(await names(flow)) == len(system.objects) == 1
        (event,) = await flow.events("inbound")
        assert (event["status"], event["reason"]) == ("succeeded", "conflict")
        assert str(event["entity_id"]) == record_id


@pytest.mark.parametrize("rules", [{}, {"FAKE_MATCH_BY": "off"}, BY_EMAIL])
async def test_an_object_without_a_match_becomes_a_record(
    database_url: str, rules: dict[str, str]
) -> None:
    async with open_flow(database_url, working=False, environment=rules) as flow:
        await only_here(flow, email="other@example.com" if rules == BY_EMAIL else ADA)
        flow.systems["fake"].create(name="There", email=ADA)
        async with running_worker(flow.runtime):
            await flow.deliver()
        assert await names(flow) == ["Ada", "There"]
        assert flow.systems["fake"].fetches == []


async def test_two_free_records_wait_for_a_person_and_a_retry_decides_anew(
    database_url: str,
) -> None:
    async with open_flow(database_url, working=False, environment=BY_EMAIL) as flow:
        system = flow.systems["fake"]
        ids = [await only_here(flow, name=name) for name in ("One", "Two")]
        system.create(name="There", email=ADA)
        async with running_worker(flow.runtime):
            await flow.deliver()
            (letter,) = await dead(flow)
            assert all(each in letter["error_message"] for each in ids)
            assert ADA not in letter["error_message"]
            # The retry fetches the present state, so a later event needs no dead letter of its own.
            system.edit("obj_0", phone="7")
            await flow.deliver()
            assert len(await dead(flow)) == 1
            assert await flow.scalar("SELECT count(*) FROM external_mappings") == 0
            await flow.runtime.customers.delete(ids[0], correlation_id="test")
            await lose_what_waits(flow)
            await retry(flow)
        assert await dead(flow) == []
        assert (await flow.mapping(ids[1]))["external_id"] == "obj_0"
        assert (await flow.record(ids[1]))["phone"] == "7"


async def test_an_object_that_was_undecided_is_fetched_once_it_is_linked(
    database_url: str,
) -> None:
    """The event that links the object may be older than one that was not applied."""
    async with open_flow(database_url, working=False, environment=BY_EMAIL) as flow:
        system = flow.systems["fake"]
        ids = [await only_here(flow, name=name) for name in ("One", "Two")]
        system.create(email=ADA)
        delayed = system.webhooks.pop()
        system.edit("obj_0", phone="7")
        async with running_worker(flow.runtime):
            await flow.deliver()
            assert len(await dead(flow)) == 1
            await flow.runtime.customers.delete(ids[0], correlation_id="test")
            await lose_what_waits(flow)
            await flow.runtime.ingress.accept("fake", delayed, "test")
            await flow.settle()
        assert (await flow.mapping(ids[1]))["external_id"] == "obj_0"
        assert (await flow.record(ids[1]))["phone"] == "7"


@pytest.mark.parametrize(("by", "waits"), [("email", True), ("email,name", False)])
async def test_a_second_object_waits_unless_a_second_field_tells_them_apart(
    database_url: str, by: str, waits: bool
) -> None:
    async with open_flow(database_url, environment={"FAKE_MATCH_BY": by}) as flow:
        system = flow.systems["fake"]
        system.create(name="Ada", email=ADA)
        await flow.deliver()
        system.create(name="Bob", email=ADA)
        await flow.deliver()
        assert await names(flow) == (["Ada"] if waits else ["Ada", "Bob"])
        assert len(await dead(flow)) == waits


async def test_two_objects_of_one_batch_do_not_both_become_records(database_url: str) -> None:
    async with open_flow(database_url, working=False, environment=BY_EMAIL) as flow:
        system = flow.systems["fake"]
        for name in ("Ada", "Bob"):
            system.create(name=name, email=ADA)
            await flow.runtime.ingress.accept("fake", system.webhooks.pop(), "test")
        async with running_worker(flow.runtime):
            await flow.settle()
        assert await names(flow) == ["Ada"]
        assert len(await dead(flow)) == 1


async def test_one_free_record_is_never_linked_by_two_workers(database_url: str) -> None:
    """The second worker waits for the record, and then finds its mapping."""
    async with open_flow(database_url, working=False, environment=BY_EMAIL) as flow:
        record_id = await only_here(flow)
        source = flow.runtime.connections["fake"]

        def shows(external_id: str) -> Observation:
            at = Interval.of_second(1_700_000_000)
            return Observation(ObservationKind.LIST, external_id, at, {"/email": ADA})

        async def load(db: Any, external_id: str) -> UnitOfWork:
            return await work_storage.load(db, source, "customer", seen=[shows(external_id)])

        async with transaction(flow.runtime.engine) as second:
            async with transaction(flow.runtime.engine) as first:
                work = await load(first, "obj_1")
                waiting = asyncio.create_task(load(second, "obj_2"))
                await flow.until_scalar(
                    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    " AND datname = current_database())"
                )
                assert work.observe(shows("obj_1"))[0] == record_id
                await work_storage.flush(first, work)
            _, outcome = (await waiting).observe(shows("obj_2"))
            assert (outcome.verdict, outcome.matched) == (Verdict.UNDECIDED, (record_id,))


async def test_an_object_waits_for_the_answer_to_an_open_create(database_url: str) -> None:
    """The create may have made the object, whose webhook names no record."""
    system, arrived = FakeSystem(), asyncio.Event()
    async with open_flow(database_url, systems={"fake": system}, environment=BY_EMAIL) as flow:

        async def webhook_first(push: Push) -> None:
            system.create(name="Ada", email=ADA)
            await flow.runtime.ingress.accept("fake", system.webhooks.pop(), "test")
            await flow.until_scalar(
                "SELECT EXISTS (SELECT FROM sync_events WHERE event_type = 'customer.look'"
                " AND status = 'retrying')"
            )
            arrived.set()
            raise FakeError(FailureKind.EXISTS, external_id="obj_0")

        system.on_the_way = webhook_first
        record_id = await flow.create()
        await arrived.wait()
        await flow.settle()
        assert await names(flow) == ["Ada"]
        assert (await flow.mapping(record_id))["external_id"] == "obj_0"
        statuses = {e["event_type"]: e["status"] for e in await flow.events("outbound")}
        assert statuses == {"customer.created": "succeeded", "customer.look": "ignored"}


async def test_a_person_links_an_object_with_a_record(database_url: str) -> None:
    async with open_flow(database_url, working=False, environment=BY_EMAIL) as flow:
        system = flow.systems["fake"]
        ids = [await only_here(flow, name=name, phone="1") for name in ("One", "Two")]
        system.create(name="There", email=ADA, address={"city": "Bern"})
        async with running_worker(flow.runtime):
            await flow.deliver()
            wanted = ("fake", "customer", "obj_0", ids[1], OPERATOR)
            planned = await linker(flow).link(*wanted, dry_run=True)
            assert planned.fields == {
                "/address": FieldFate.HERE,
                "/name": FieldFate.HERE_WINS,
                "/phone": FieldFate.THERE,
            }
            assert (planned.done, len(await dead(flow))) == (False, 1)
            linked = await linker(flow).link(*wanted)
            assert (linked.done, linked.fields) == (True, planned.fields)
            await flow.settle()
            assert (await flow.mapping(ids[1]))["external_id"] == "obj_0"
            assert (system.objects["obj_0"] or {})["name"] == "Two"
            looks = await flow.rows(
                "SELECT status, reason, CAST(entity_id AS text) AS record FROM sync_events"
                " WHERE event_type = 'customer.look' ORDER BY id"
            )
            # The dead letter ends, and the object is fetched again after the doubt.
            assert looks[0] == {"status": "ignored", "reason": "linked", "record": ids[1]}
            assert [look["record"] for look in looks] == [ids[1], ids[1]]
            for external_id, record_id, error in (
                ("obj_0", ids[0], StateConflict),
                ("obj_1", ids[1], StateConflict),
                ("obj_1", new_id(), NotFound),
            ):
                system.objects["obj_1"] = {"email": ADA}
                with pytest.raises(error):
                    await linker(flow).link("fake", "customer", external_id, record_id, OPERATOR)
            new = await linker(flow).link("fake", "customer", "obj_1", None, OPERATOR)
            assert new.creates_record
            assert (await flow.mapping(new.record_id))["external_id"] == "obj_1"
