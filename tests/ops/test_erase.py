"""The rows of an erased customer."""

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.drift import factory
from tests.support.fake import FakeError, FakeIntegration
from tests.support.flow import Flow, open_flow
from tests.support.versioned import VersionedSystem
from zenskar import FailureKind, WebhookRequest
from zenskar.db.driver.engine import in_transaction
from zenskar.db.idempotency import Idempotency, IdempotencyKeyReused
from zenskar.errors import NotFound, StateConflict
from zenskar.ids import new_id
from zenskar.model.actor import Actor
from zenskar.ops.erase import Erased, Eraser

BY = Actor("ops", "here")
PERSONAL = {
    "name": "Zarathustra Quux",
    "email": "zarathustra@quux.example",
    "phone": "+49301234567",
    "address": {"line1": "Quuxallee 99", "city": "Quuxhausen", "country": "DE"},
    "metadata": {"vat": "QUUX-VAT-1"},
}
WORDS = ("quux", "zarathustra", "301234567", "edited-there", "edited-here")


async def traces(flow: Flow) -> dict[str, str]:
    """Return every row of every table that holds personal data."""
    tables = await flow.rows(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    found = {}
    for table in (row["table_name"] for row in tables):
        for row in await flow.rows(f"SELECT row_to_json(t)::text AS said FROM {table} AS t"):
            if any(word in row["said"].lower() for word in WORDS):
                found[table] = row["said"]
    return found


async def erase(flow: Flow, record_id: str, **options: Any) -> Erased:
    runtime = flow.runtime
    eraser = Eraser(runtime.engine, tuple(runtime.connections), runtime.bus.wake)
    return await eraser.erase(record_id, BY, **options)


async def execute(flow: Flow, statement: str, **values: Any) -> None:
    await in_transaction(flow.runtime.engine, lambda c: c.execute(text(statement), values))


async def lived(flow: Flow) -> str:
    """Return a customer that was made, pushed, and edited on both sides, with a conflict."""
    record_id = await flow.create(**PERSONAL)
    await flow.settle()
    await flow.deliver()
    system = flow.systems["fake"]
    await flow.runtime.customers.patch(
        record_id, {"name": "Edited-here Quux"}, correlation_id="test"
    )
    system.edit(next(iter(system.objects)), name="Edited-there Quux")
    await flow.settle()
    await flow.deliver()
    return record_id


async def test_nothing_but_its_id_is_left(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        record_id = await lived(flow)
        other = await flow.create(name="Grace Hopper")
        await flow.settle()
        assert set(await traces(flow)) >= {
            *("customers", "external_mappings", "sync_events", "sync_event_history"),
            "push_intents",
        }
        would = await erase(flow, record_id, dry_run=True)
        assert await traces(flow)
        done = await erase(flow, record_id)
        assert done.rows == would.rows
        await flow.settle()
        assert await traces(flow) == {}
        row = await flow.record(record_id)
        assert row["erased_at"] is not None
        assert row["deleted_at"] is not None
        assert (await flow.record(other))["name"] == "Grace Hopper"
        with pytest.raises(NotFound):
            await flow.runtime.customers.get(record_id)


@pytest.mark.parametrize("propagate", [True, False])
async def test_a_late_event_restores_nothing(database_url: str, propagate: bool) -> None:
    async with open_flow(database_url, propagate_deletes=propagate) as flow:
        record_id = await lived(flow)
        system = flow.systems["fake"]
        external_id = next(iter(system.objects))
        before = system.objects[external_id]
        await erase(flow, record_id)
        await flow.settle()
        assert (system.objects[external_id] is None) is propagate
        system.objects[external_id] = before
        system.edit(external_id, name="Edited-there Quux again")
        assert before is not None
        system.create(**{**before, "name": "A copy of Quux that carries its id"})
        await flow.deliver()
        await flow.settle()
        assert await traces(flow) == {}
        assert (await flow.mapping(record_id))["base"] == {}
        assert await flow.scalar("SELECT count(*) FROM customers") == 1


async def test_a_webhook_that_waited_for_its_connection_leaves_nothing(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        from tests.support.flow import running_worker

        async with running_worker(flow.runtime):
            record_id = await lived(flow)
        system = flow.systems["fake"]
        system.edit(next(iter(system.objects)), name="Edited-there Quux once more")
        for webhook in list(system.webhooks):
            await flow.runtime.ingress.accept("fake", webhook, "test")
        system.webhooks.clear()
        assert "outbox" in await traces(flow)
        await erase(flow, record_id)
        assert await traces(flow) == {}
        async with running_worker(flow.runtime):
            await flow.settle()
        assert await traces(flow) == {}


async def test_dead_letters_and_errors_that_repeat_it_are_erased(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        record_id = await lived(flow)
        system = flow.systems["fake"]

        def refuse(_push: object) -> None:
            raise FakeError(FailureKind.REJECTED)

        system.before = refuse
        await flow.runtime.customers.patch(
            record_id, {"metadata": {"vat": "QUUX-VAT-2"}}, correlation_id="test"
        )
        await flow.settle()
        told = "bad address zarathustra@quux.example"
        unreadable = (
            "INSERT INTO sync_events (id, direction, source_system, event_type, correlation_id,"
            " status, payload) VALUES (:id, 'inbound', 'fake', 'unreadable', 'c', 'dead', :told)"
        )
        await execute(flow, unreadable, id=new_id(), told=f"half a message: {told}")
        await execute(flow, unreadable, id=new_id(), told="mail=zarathustra%40quux.example")
        await execute(
            flow,
            "INSERT INTO connections (name, error_message) VALUES ('fake', :told)"
            " ON CONFLICT (name) DO UPDATE SET error_message = excluded.error_message",
            told=told,
        )
        await execute(
            flow,
            "UPDATE sync_events SET error_message = :told WHERE entity_id = :id",
            told=told,
            id=record_id,
        )
        await erase(flow, record_id)
        assert await traces(flow) == {}
        encoded = "SELECT count(*) FROM sync_events WHERE payload LIKE '%zarathustra%'"
        assert await flow.scalar(encoded) == 0
        assert await flow.scalar("SELECT count(*) FROM sync_events WHERE status = 'dead'") == 3


HELD = {
    "signs": {"name": 'Zo\u00eb "Qu\u00fcxx"', "email": "zo@q\u00fcxx.example"},
    "backslash": {"name": "Zoe\\\\Quxx", "email": "o'quxx@example.org"},
    "another case": {"name": "ZOE QUXX", "email": "Zoe@quxx.example"},
}


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("held", HELD)
async def test_an_unreadable_webhook_is_erased_however_it_writes_a_value(
    database_url: str, monkeypatch: pytest.MonkeyPatch, held: str, *, ascii_only: bool
) -> None:
    works, broken = FakeIntegration.parse_webhook, list[bool]()

    def parse(self: FakeIntegration, request: WebhookRequest, body: Any) -> Any:
        if broken:
            raise KeyError
        return works(self, request, body)

    monkeypatch.setattr(FakeIntegration, "parse_webhook", parse)
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        system.objects["person_one"] = HELD[held]
        system.announce("created", "person_one")
        await flow.deliver()
        record_id = str(await flow.scalar("SELECT id FROM customers"))
        broken.append(True)
        own = ({"name": HELD[held]["name"].title()}, {"id": "person_one"}, {"record_id": record_id})
        for body in ({"seen": seen} for seen in (*own, {"id": "person_two"})):
            sent = json.dumps(body, ensure_ascii=ascii_only).encode()
            webhook = WebhookRequest({"x-signature": "good"}, sent, 0)
            await flow.runtime.ingress.accept("fake", webhook, "test")
        left = "SELECT count(*) FROM sync_events WHERE payload LIKE '%seen%'"
        assert await flow.scalar(left) == 4
        await erase(flow, record_id)
        assert await flow.scalar(left) == 1


async def test_the_request_that_made_it_makes_it_not_again(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        once = Idempotency("scope", "key", b"hash")
        made = await flow.runtime.customers.create(PERSONAL, correlation_id="test", once=once)
        await flow.settle()
        await erase(flow, made.view["id"])
        await flow.settle()
        assert await traces(flow) == {}
        with pytest.raises(IdempotencyKeyReused):
            await flow.runtime.customers.create(PERSONAL, correlation_id="test", once=once)


async def test_it_waits_for_a_push_that_is_under_way(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        record_id = await lived(flow)
        system = flow.systems["fake"]
        entered, release = asyncio.Event(), asyncio.Event()

        async def hold(_push: object) -> None:
            entered.set()
            await release.wait()

        system.on_the_way = hold
        await flow.runtime.customers.patch(record_id, {"name": "Quux"}, correlation_id="test")
        await entered.wait()
        with pytest.raises(StateConflict, match="under way"):
            await erase(flow, record_id)
        system.on_the_way = None
        release.set()
        await flow.settle()
        await erase(flow, record_id)
        await flow.settle()
        assert await traces(flow) == {}


async def test_what_comes_for_a_paused_connection_is_erased_by_the_scheduler(
    database_url: str,
) -> None:
    async with open_flow(database_url) as flow:
        record_id = await lived(flow)
        await erase(flow, record_id)
        await flow.settle()
        message = json.dumps({"data": {"object": {"document": {"name": "Quux"}}}})
        await execute(
            flow,
            "INSERT INTO sync_events (id, direction, source_system, entity_type, entity_id,"
            " event_type, correlation_id, status, payload)"
            " VALUES (:id, 'inbound', 'fake', 'customer', :customer, 'x', 'c', 'dead', :message)",
            id=new_id(),
            customer=record_id,
            message=message,
        )
        runtime = flow.runtime
        await Eraser(runtime.engine, (), runtime.bus.wake).erase_late()
        assert await traces(flow) == {}


async def test_an_unknown_customer_is_said(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        with pytest.raises(NotFound):
            await erase(flow, new_id())


async def test_an_erased_customer_is_not_undeleted(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        record_id = await lived(flow)
        await erase(flow, record_id)
        await flow.settle()
        with pytest.raises(StateConflict, match="erased"):
            await factory(flow).undeleter().undelete("customer", record_id, BY, "undelete")
        assert await traces(flow) == {}


async def test_the_version_of_an_object_is_erased(database_url: str) -> None:
    async with open_flow(database_url, systems={"fake": VersionedSystem()}) as flow:
        record_id = await flow.create(**PERSONAL)
        await flow.settle()
        assert (await flow.mapping(record_id))["version"] == "v1"
        await execute(flow, "UPDATE external_mappings SET base = '{}'")
        await erase(flow, record_id)
        assert (await flow.mapping(record_id))["version"] is None
