"""The plan of a changed profile shows its effect on every record before anything is changed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.drift import factory
from tests.support.fake import FakeSystem
from tests.support.flow import Flow, open_flow
from zenskar.errors import StateConflict, Unavailable
from zenskar.ops.repair.repair_plan import RepairPlan
from zenskar.sync.reconcile.field_fate import FieldFate
from zenskar.sync.reconcile.repair_action import RepairAction

PROFILE = """
[customer.fields]
"/metadata/plan" = { there = "/metadata/tier" }
"/phone" = { direction = "in" }
"/address/country" = { default_here = "US" }
"""


@asynccontextmanager
async def opened(
    database_url: str, folder: Path, system: FakeSystem, profile: str, **options: Any
) -> AsyncIterator[Flow]:
    path = folder / "fake.toml"
    path.write_text(profile)
    environment = {"FAKE_PROFILE": str(path)}
    async with open_flow(
        database_url, environment=environment, systems={"fake": system}, **options
    ) as flow:
        yield flow


async def plan(flow: Flow) -> RepairPlan:
    return await factory(flow).repair_planner(settle_seconds=0.0).plan("fake", "customer")


async def test_a_changed_profile_is_planned_and_then_applied(
    database_url: str, tmp_path: Path
) -> None:
    system = FakeSystem()
    async with opened(database_url, tmp_path, system, "") as flow:
        for name, keys in (("A", {"plan": "pro"}), ("B", {"plan": "pro", "tier": "gold"})):
            await flow.create(name=name, metadata=keys, address={"city": "Ulm", "country": "DE"})
        await flow.create(name="C", metadata={"tier": "gold"}, address={"city": "Rome"})
        await flow.settle()
        await flow.deliver()
        assert (await plan(flow)).steps == ()
    before = dict(system.objects)
    async with opened(database_url, tmp_path, system, PROFILE, working=False) as flow:
        rows = await flow.rows("SELECT metadata, address FROM customers ORDER BY name")
        made = await plan(flow)
        assert made.counts["merge"] == len(made.steps) == 3
        assert made.fields == {
            "/address": {"taken_here": 1},
            "/metadata/plan": {"conflict_internal": 1, "sent_there": 1, "taken_here": 1},
        }
        assert await flow.rows("SELECT metadata, address FROM customers ORDER BY name") == rows
        assert (system.objects, len(system.calls)) == (before, 3)
    async with opened(database_url, tmp_path, system, "") as flow:
        with pytest.raises(StateConflict, match="another profile of fake"):
            await factory(flow).repair_applier(wait_seconds=10).apply(made)
    async with opened(database_url, tmp_path, system, f"# Changed.\n{PROFILE}") as flow:
        result = await factory(flow).repair_applier(wait_seconds=10).apply(made)
        assert (result.done, result.skipped) == (3, [])
        await flow.settle()
        there = {one["name"]: one["metadata"] for one in system.objects.values() if one}
        assert {name: keys["tier"] for name, keys in there.items()} == {
            "A": "pro",
            "B": "pro",
            "C": "gold",
        }
        # The former place of a part is neither read nor written.
        assert there["A"]["plan"] == "pro"
        here = await flow.rows("SELECT metadata, address FROM customers WHERE name = 'C'")
        assert here[0]["metadata"] == {"tier": "gold", "plan": "gold"}
        assert here[0]["address"] == {"city": "Rome", "country": "US"}
        assert (await plan(flow)).steps == ()


async def test_a_field_that_travels_again_is_sent(database_url: str, tmp_path: Path) -> None:
    system, inward = FakeSystem(), '[customer.fields]\n"/phone" = { direction = "in" }\n'
    async with opened(database_url, tmp_path, system, inward) as flow:
        record_id = await flow.create(name="A")
        await flow.settle()
        await flow.runtime.customers.patch(record_id, {"phone": "1"}, correlation_id="test")
        await flow.settle()
        assert (await plan(flow)).steps == ()
    async with opened(database_url, tmp_path, system, "", working=False) as flow:
        (step,) = (await plan(flow)).steps
        assert step.fields == {"/phone": FieldFate.THERE}


async def test_a_changed_filter_shows_the_records_that_enter_and_that_are_outside(
    database_url: str, tmp_path: Path
) -> None:
    system, named = FakeSystem(), '[customer.filter.schema.properties.name]\nconst = "A"\n'
    async with opened(database_url, tmp_path, system, named) as flow:
        await flow.create(name="A")
        record_id = await flow.create(name="B")
        await flow.settle()
        assert (await plan(flow)).counts["outside"] == 1
    async with opened(database_url, tmp_path, system, "", working=False) as flow:
        (step,) = (await plan(flow)).steps
        assert (step.kind, step.record_id) == (RepairAction.CREATE_THERE, record_id)
    other = named.replace('"A"', '"B"')
    async with opened(database_url, tmp_path, system, other, working=False) as flow:
        made = await plan(flow)
        assert [each.record_id for each in made.steps] == [record_id]
        assert (made.counts["create_there"], made.counts["outside"]) == (1, 1)


async def test_a_profile_with_a_mistake_cannot_be_planned(
    database_url: str, tmp_path: Path
) -> None:
    async with opened(database_url, tmp_path, FakeSystem(), "[x]\n", working=False) as flow:
        with pytest.raises(Unavailable, match=r"fake.toml:1:1: x is not a known field"):
            await plan(flow)
