"""The customer service on a real database: one transaction for a change and its messages."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.fake import FakeSystem, fake_connection
from zenskar.catalog.edits import METADATA_KEYS, merge_patched
from zenskar.catalog.service import CustomerService, StaleVersion
from zenskar.db import intents, mappings, outbox
from zenskar.db.driver.engine import in_transaction
from zenskar.db.idempotency import Idempotency
from zenskar.db.intents import NewIntent
from zenskar.errors import NotFound, SchemaViolation
from zenskar.ids import new_id
from zenskar.model.interval import Interval
from zenskar.model.record import ExternalMapping, Intent, IntentKind, IntentState, MappingState
from zenskar.plugins.base import BaseIntegration
from zenskar.plugins.router import PluginRouter
from zenskar.schema_catalog import core_schemas

ADA = {"name": "Ada", "email": "ada@example.com"}
BASE = {"/name": "Ada", "/email": "ada@example.com"}


class Wakes(list[str]):
    """Records the woken topics."""

    def __call__(self, topic: str) -> None:
        self.append(topic)


@pytest.fixture
def wakes() -> Wakes:
    return Wakes()


@pytest.fixture
def service(engine: AsyncEngine, wakes: Wakes) -> CustomerService:
    names: Iterator[str] = iter(("one", "two"))
    owners: dict[str, BaseIntegration] = {n: fake_connection(n, FakeSystem()) for n in names}
    return CustomerService(engine, PluginRouter(owners), wakes)


async def rows(engine: AsyncEngine, query: str) -> list[dict[str, Any]]:
    async with engine.connect() as db:
        return [dict(row) for row in (await db.execute(text(query))).mappings()]


async def messages(engine: AsyncEngine) -> list[dict[str, Any]]:
    found = await rows(engine, "SELECT * FROM outbox ORDER BY id")
    return [row | {"envelope": orjson.loads(row["envelope"])} for row in found]


async def test_a_create_tells_every_owner_in_one_transaction(
    service: CustomerService, engine: AsyncEngine, wakes: Wakes
) -> None:
    view = (await service.create(ADA, correlation_id="c-1")).view
    sent = await messages(engine)
    events = await rows(engine, "SELECT * FROM sync_events ORDER BY id")
    assert [m["source_system"] for m in sent] == ["one", "two"]
    assert {m["key"] for m in sent} == {f"customer:{view['id']}"}
    assert {m["envelope"]["id"] for m in sent} == {str(e["id"]) for e in events}
    assert {(e["event_type"], e["correlation_id"]) for e in events} == {("customer.created", "c-1")}
    data = sent[0]["envelope"]["data"]
    assert data["document"] | ADA == data["document"]
    assert data["record_version"] == 1
    core_schemas()["event"].check(sent[0]["envelope"])
    assert wakes == ["sync.outbound"]


async def test_a_failure_leaves_neither_row_nor_message(
    service: CustomerService,
    engine: AsyncEngine,
    wakes: Wakes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_arguments: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(outbox, "insert", fail)
    once = Idempotency("scope", "key", b"hash")
    with pytest.raises(RuntimeError):
        await service.create(ADA, correlation_id="c", once=once)
    for table in ("customers", "sync_events", "sync_event_history", "outbox", "idempotency_keys"):
        assert await rows(engine, f"SELECT * FROM {table}") == []
    assert wakes == []


async def test_an_edit_tells_what_changed(service: CustomerService, engine: AsyncEngine) -> None:
    created = (await service.create({**ADA, "phone": "+441"}, correlation_id="c")).view
    patch = {"name": "Ada L", "phone": None, "email": ADA["email"]}
    view = await service.patch(created["id"], patch, correlation_id="c-2")
    assert view["version"] == 2
    assert view["updated_at"] > created["updated_at"]
    assert view["created_at"] == created["created_at"]
    (entry, _) = await rows(
        engine,
        "SELECT h.detail FROM sync_event_history h JOIN sync_events e ON e.id = h.event_id"
        " WHERE e.event_type = 'customer.updated'",
    )
    assert orjson.loads(entry["detail"]) == {
        "record_version": 2,
        "changes": {"/name": "Ada L", "/phone": None},
        "before": {"/name": "Ada", "/phone": "+441"},
    }


async def test_a_change_of_nothing_is_silent(
    service: CustomerService, engine: AsyncEngine, wakes: Wakes
) -> None:
    created = (await service.create({**ADA, "address": {"city": ""}}, correlation_id="c")).view
    wakes.clear()
    same = {**ADA, "phone": None, "address": {"city": None}, "metadata": {"a": ""}}
    assert await service.replace(created["id"], same, correlation_id="c") == created
    assert await service.patch(created["id"], {}, correlation_id="c") == created
    assert (len(await messages(engine)), wakes) == (2, [])


async def test_a_delete_keeps_the_row_and_sends_no_document(
    service: CustomerService, engine: AsyncEngine
) -> None:
    created = (await service.create(ADA, correlation_id="c")).view
    await service.delete(created["id"], correlation_id="c")
    (row,) = await rows(engine, "SELECT deleted_at, version FROM customers")
    assert row["deleted_at"] is not None
    assert row["version"] == 2
    envelope = (await messages(engine))[-1]["envelope"]
    assert (envelope["type"], envelope["data"]["document"]) == ("customer.deleted", None)
    core_schemas()["event"].check(envelope)
    for call in (
        service.get(created["id"]),
        service.patch(created["id"], {"name": "x"}, correlation_id="c"),
        service.replace(created["id"], ADA, correlation_id="c"),
        service.delete(created["id"], correlation_id="c"),
    ):
        with pytest.raises(NotFound):
            await call


async def test_expected_versions(service: CustomerService) -> None:
    created = (await service.create(ADA, correlation_id="c")).view
    with pytest.raises(StaleVersion):
        await service.patch(created["id"], {}, correlation_id="c", expected=[2])
    with pytest.raises(StaleVersion):
        await service.delete(created["id"], correlation_id="c", expected=[])
    await service.patch(created["id"], {"name": "B"}, correlation_id="c", expected=[7, 1])


async def test_without_owners_a_customer_is_just_stored(engine: AsyncEngine, wakes: Wakes) -> None:
    service = CustomerService(engine, PluginRouter({}), wakes)
    view = (await service.create(ADA, correlation_id="c")).view
    assert (await service.get(view["id"]))["external"] == []
    assert await messages(engine) == []


async def test_metadata_that_an_external_system_filled_can_be_patched(
    service: CustomerService, engine: AsyncEngine
) -> None:
    created = (await service.create(ADA, correlation_id="c")).view
    full = {f"k{i}": "x" for i in range(METADATA_KEYS + 2)}
    async with engine.begin() as db:
        await db.execute(
            text("UPDATE customers SET metadata = CAST(:m AS jsonb)"),
            {"m": full},
        )
    await service.patch(created["id"], {"metadata": {"k0": "y"}}, correlation_id="c")
    with pytest.raises(SchemaViolation):
        await service.patch(created["id"], {"metadata": {"new": "y"}}, correlation_id="c")


def test_the_metadata_limit_is_that_of_the_schema() -> None:
    definitions = core_schemas()["customer"].document["$defs"]
    assert definitions["given_metadata"]["maxProperties"] == METADATA_KEYS
    assert definitions["patched_metadata"]["maxProperties"] == METADATA_KEYS


async def save(engine: AsyncEngine, mapping: ExternalMapping, version: int | None = 1) -> None:
    await in_transaction(
        engine, lambda c: mappings.save(c, "one", "customer", [(mapping, version)])
    )


async def external(service: CustomerService, customer_id: str) -> dict[str, Any]:
    one, two = (await service.get(customer_id))["external"]
    assert (two["source_system"], two["state"], two["in_sync"]) == ("two", "pending", False)
    (listed,) = (await service.list(most=10)).views
    assert listed["external"] == [one, two]
    return one


async def test_in_sync_when_the_base_equals_the_record(
    service: CustomerService, engine: AsyncEngine
) -> None:
    customer_id = (await service.create(ADA, correlation_id="c")).view["id"]
    mapping = ExternalMapping("obj_1", customer_id, BASE, Interval(1, 2))
    await save(engine, mapping)
    assert await external(service, customer_id) == {
        "source_system": "one",
        "external_id": "obj_1",
        "state": "active",
        "synced_version": 1,
        "in_sync": True,
    }
    for not_yet in (
        replace(mapping, base={**BASE, "/phone": "+441"}),
        replace(mapping, fetch_revision=1),
    ):
        await save(engine, not_yet)
        assert not (await external(service, customer_id))["in_sync"]
    await save(engine, replace(mapping, state=MappingState.DELETED))
    found = await external(service, customer_id)
    assert (found["state"], found["in_sync"]) == ("deleted", False)


async def test_not_in_sync_while_a_push_is_on_its_way(
    service: CustomerService, engine: AsyncEngine
) -> None:
    customer_id = (await service.create(ADA, correlation_id="c")).view["id"]
    await save(engine, ExternalMapping("obj_1", customer_id, BASE, Interval(1, 2)))
    intent = Intent("key", IntentKind.UPDATE, {"/name": "Ada"})
    new = NewIntent(intent, "one", "customer", customer_id, "obj_1", new_id(), 60.0)
    await in_transaction(engine, lambda c: intents.insert(c, [new]))
    assert not (await external(service, customer_id))["in_sync"]
    await in_transaction(engine, lambda c: intents.set_state(c, ["key"], IntentState.ANSWERED))
    assert (await external(service, customer_id))["in_sync"]


async def test_a_live_mapping_is_shown_rather_than_a_tombstone(
    service: CustomerService, engine: AsyncEngine
) -> None:
    customer_id = (await service.create(ADA, correlation_id="c")).view["id"]
    living = ExternalMapping("obj_2", customer_id, BASE, Interval(1, 2))
    await save(engine, living)
    await save(engine, replace(living, external_id="obj_1", state=MappingState.DELETED))
    assert (await external(service, customer_id))["external_id"] == "obj_2"


async def test_a_link_whose_connection_is_gone_is_still_shown(
    service: CustomerService, engine: AsyncEngine, wakes: Wakes
) -> None:
    customer_id = (await service.create(ADA, correlation_id="c")).view["id"]
    await save(engine, ExternalMapping("obj_1", customer_id, BASE, Interval(1, 2)))
    alone = CustomerService(engine, PluginRouter({}), wakes)
    (found,) = (await alone.get(customer_id))["external"]
    assert (found["source_system"], found["external_id"]) == ("one", "obj_1")


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_as_in_appendix_a_of_the_rfc(document: Any, patch: Any, result: Any) -> None:
    assert merge_patched(document, patch) == result
