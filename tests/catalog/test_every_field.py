"""Every field of a customer: from one external system into the row, and out to another."""

from typing import Any

import pytest

from tests.support.flow import Flow, open_flow
from zenskar.db.schema import all_tables, customer_columns, tables
from zenskar.fields.samples import SAMPLES
from zenskar.model.actor import Actor
from zenskar.model.fields import CUSTOMER, SHAPES
from zenskar.ops.erase import Eraser
from zenskar.schema_catalog import core_schemas
from zenskar.testing.declaration_checks import PERSON
from zenskar.testing.documents import customers

FIRST: dict[str, Any] = {
    "name": "Ada",
    "email": "ada@example.com",
    "phone": "+49 1",
    "address": {"line1": "Weg 1", "city": "Bonn"},
    "metadata": {"plan": "pro", "a/b": "~"},
}
SECOND: dict[str, Any] = {
    "name": "Eve",
    "email": "eve@example.com",
    "phone": "+49 2",
    "address": {"city": "Paris"},
    "metadata": {"plan": "free"},
}


async def held(flow: Flow) -> list[dict[str, Any]]:
    """Return what the row, the API and the second system hold."""
    (row,) = await flow.rows("SELECT *, CAST(id AS text) AS key FROM customers")
    view = await flow.runtime.customers.get(row["key"])
    (outside,) = flow.systems["south"].objects.values()
    return [{name: each[name] for name in CUSTOMER.names} for each in (row, view, outside or {})]


async def synced(flow: Flow) -> str:
    flow.systems["north"].create(**FIRST)
    await flow.deliver("north")
    (external_id,) = flow.systems["north"].objects
    return external_id


def test_there_is_a_sample_of_every_field() -> None:
    assert FIRST.keys() == SECOND.keys() == CUSTOMER.names


def test_the_kit_sends_every_field() -> None:
    """A plugin that does not translate a field fails its kit only if the kit sends the field."""
    assert customers(CUSTOMER) is not None
    assert PERSON.keys() == CUSTOMER.names
    assert set().union(*SAMPLES) == CUSTOMER.names


def test_every_column_that_is_no_field_is_kept_by_the_database() -> None:
    own = {"id", "version", "created_at", "updated_at", "deleted_at", "erased_at"}
    assert {*customer_columns.FIELDS} == set(tables.customers.c.keys()) - own == CUSTOMER.names


def test_every_entity_has_a_schema_of_all_its_fields_and_a_table() -> None:
    for shape in SHAPES.values():
        schema = core_schemas()[shape.entity_type].document
        assert schema["properties"].keys() == shape.names
        for part in ("create", "patch"):
            assert schema["$defs"][part]["properties"].keys() == shape.names
        assert schema["$defs"]["replace"]["properties"].keys() > shape.names
        assert shape.names <= set(all_tables.metadata.tables[f"{shape.entity_type}s"].c.keys())


@pytest.mark.parametrize("name", sorted(CUSTOMER.names))
async def test_a_field_reaches_the_row_and_the_other_system(database_url: str, name: str) -> None:
    async with open_flow(database_url, "north", "south") as flow:
        external_id = await synced(flow)
        assert await held(flow) == [FIRST] * 3
        flow.systems["north"].edit(external_id, **{name: SECOND[name]})
        flow.systems["north"].shift(5)
        await flow.deliver("north")
        assert await held(flow) == [FIRST | {name: SECOND[name]}] * 3
        (push,) = [push for push in flow.systems["south"].calls if push.kind == "update"]
        assert push.body.keys() == {name}


@pytest.mark.parametrize("name", sorted(CUSTOMER.names))
async def test_an_edit_through_the_api_unsets_no_other_field(database_url: str, name: str) -> None:
    async with open_flow(database_url, "north", "south") as flow:
        await synced(flow)
        (row,) = await flow.rows("SELECT CAST(id AS text) AS key FROM customers")
        patch = SECOND[name] if name not in CUSTOMER.keyed else {"plan": "free", "a/b": None}
        if name == "address":
            patch = {"line1": None, "city": "Paris"}
        await flow.runtime.customers.patch(row["key"], {name: patch}, correlation_id="t")
        await flow.settle()
        assert await held(flow) == [FIRST | {name: SECOND[name]}] * 3


async def test_every_field_is_erased(database_url: str) -> None:
    async with open_flow(database_url, "north", "south") as flow:
        await synced(flow)
        (row,) = await flow.rows("SELECT CAST(id AS text) AS key FROM customers")
        eraser = Eraser(flow.runtime.engine, ("north", "south"), flow.runtime.bus.wake)
        await eraser.erase(row["key"], Actor("ops", "here"))
        (erased,) = await flow.rows("SELECT * FROM customers")
        assert {name: erased[name] for name in CUSTOMER.names if erased[name]} == {}
