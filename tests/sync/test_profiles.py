"""A connection with a profile, beside one without."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.fake import FakeSystem
from tests.support.flow import Flow, open_flow
from zenskar.catalog.field_limits import FieldLimits
from zenskar.errors import SchemaViolation
from zenskar.kernel import ConflictPolicy
from zenskar.ops.explain.explainer import explain
from zenskar.schema_catalog import Schema
from zenskar.sync.reconcile.report import Report

PROFILE = """
[customer.fields]
"/metadata/plan" = { there = "/metadata/tier" }
"/phone" = { there = "/metadata/mobile", default_there = "none" }
"/email" = { direction = "in", conflict_policy = "external_wins" }
"/metadata/note" = { direction = "out" }

[customer.constants]
there = { "/metadata/origin" = "zenskar" }
here = { "/metadata/source" = "crm" }
"""


@asynccontextmanager
async def both(
    database_url: str, folder: Path, profile: str = PROFILE, **settings: Any
) -> AsyncIterator[Flow]:
    """Open a runtime with the systems `crm`, which has the profile, and `full`."""
    path = folder / "crm.toml"
    path.write_text(profile)
    settings.setdefault("systems", {"crm": FakeSystem(), "full": FakeSystem()})
    async with open_flow(database_url, environment={"CRM_PROFILE": str(path)}, **settings) as flow:
        yield flow


async def deliver(flow: Flow) -> None:
    await flow.settle()
    while any(system.webhooks for system in flow.systems.values()):
        for name in flow.systems:
            await flow.deliver(name)


def held(flow: Flow, name: str = "crm") -> dict[str, Any]:
    (found,) = (each for each in flow.systems[name].objects.values() if each is not None)
    return {k: v for k, v in found.items() if k != "record_id" and v not in (None, {})}


def edit(flow: Flow, **values: Any) -> None:
    """Change the only object of `crm`."""
    (external_id,) = flow.systems["crm"].objects
    flow.systems["crm"].edit(external_id, **values)
    flow.systems["crm"].shift(5)


async def in_sync(flow: Flow, record_id: str) -> dict[str, bool]:
    view = await flow.runtime.customers.get(record_id)
    found = {each["source_system"]: each["in_sync"] for each in view["external"]}
    explained = (await explain(flow.runtime.engine, record_id)).systems
    assert {each.source_system: each.in_sync for each in explained} == found
    return found


async def compared(flow: Flow, source: str, **options: Any) -> Report:
    reconciler = flow.runtime.operations().reconciler(settle_seconds=0.0, wait_seconds=10)
    return await reconciler.run(source, "customer", **options)


SYNCED = {"crm": True, "full": True}


async def test_a_record_travels_under_other_names_both_ways(
    database_url: str, tmp_path: Path
) -> None:
    async with both(database_url, tmp_path) as flow:
        record_id = await flow.create(metadata={"plan": "pro", "note": "n", "x": "y"})
        await deliver(flow)
        assert held(flow) == {
            "name": "Ada",
            "metadata": {
                "tier": "pro",
                "note": "n",
                "x": "y",
                "mobile": "none",
                "origin": "zenskar",
            },
        }
        assert await in_sync(flow, record_id) == SYNCED
        here = {"tier": "gold", "plan": "?", "note": "theirs", "mobile": "1", "origin": "zenskar"}
        edit(flow, name="Eve", email="eve@x.org", phone="?", metadata=here)
        await deliver(flow)
        record = await flow.record(record_id)
        assert (record["name"], record["email"], record["phone"]) == ("Eve", "eve@x.org", "1")
        assert record["metadata"] == {"plan": "gold", "note": "n"}
        assert held(flow, "full")["metadata"] == {"plan": "gold", "note": "n"}
        assert await in_sync(flow, record_id) == SYNCED
        assert len(flow.systems["crm"].calls) == 1


async def test_an_object_there_becomes_a_record_with_the_constants_here(
    database_url: str, tmp_path: Path
) -> None:
    async with both(database_url, tmp_path) as flow:
        flow.systems["crm"].create(name="Ada", metadata={"tier": "pro", "mobile": "none"})
        await deliver(flow)
        (record,) = await flow.rows("SELECT CAST(id AS text) AS id, phone, metadata FROM customers")
        assert record["metadata"] == {"plan": "pro", "source": "crm"}
        assert record["phone"] is None
        assert held(flow, "full")["metadata"] == {"plan": "pro", "source": "crm"}
        assert await in_sync(flow, record["id"]) == SYNCED
        assert flow.systems["crm"].calls == []


async def test_a_field_that_only_comes_in_is_never_pushed(
    database_url: str, tmp_path: Path
) -> None:
    async with both(database_url, tmp_path) as flow:
        record_id = await flow.create(phone="1")
        await deliver(flow)
        await flow.runtime.customers.patch(record_id, {"email": "x@y.org"}, correlation_id="t")
        await deliver(flow)
        assert "email" not in held(flow)
        assert held(flow, "full")["email"] == "x@y.org"
        assert len(flow.systems["crm"].calls) == 1
        assert await in_sync(flow, record_id) == SYNCED
        report = await compared(flow, "crm")
        assert (report.complete, sum(report.found.values())) == (True, 0), report


async def test_a_leaf_has_a_policy_of_its_own(database_url: str, tmp_path: Path) -> None:
    profile = '[customer.fields]\n"/metadata/plan".conflict_policy = "external_wins"\n'
    async with both(database_url, tmp_path, profile, working=False) as flow:
        policy = flow.runtime.connections["crm"].merge_policy
        assert policy.of("/metadata/plan") is ConflictPolicy.EXTERNAL_WINS
        assert policy.of("/metadata/other") is ConflictPolicy.INTERNAL_WINS


async def test_the_rest_of_an_address_stays_as_it_is_here(
    database_url: str, tmp_path: Path
) -> None:
    profile = '[customer.fields]\n"/metadata/town" = { there = "/address/city" }\n'
    async with both(database_url, tmp_path, profile) as flow:
        address = {"line1": "A 1", "city": "Bonn"}
        record_id = await flow.create(address=address, metadata={"town": "Köln"})
        await deliver(flow)
        assert held(flow)["address"] == {"line1": "A 1", "city": "Köln"}
        edit(flow, address={"line1": "B 2", "city": "Ulm"})
        await deliver(flow)
        record = await flow.record(record_id)
        assert record["address"] == {"line1": "B 2", "city": "Bonn"}
        assert record["metadata"] == {"town": "Ulm"}
        assert held(flow, "full")["address"] == {"line1": "B 2", "city": "Bonn"}
        assert await in_sync(flow, record_id) == SYNCED


@pytest.mark.parametrize("repaired", [False, True])
async def test_a_changed_profile_joins_both_sides_and_erases_nothing(
    database_url: str, tmp_path: Path, repaired: bool
) -> None:
    systems = {"crm": FakeSystem(), "full": FakeSystem()}
    async with both(database_url, tmp_path, "", systems=systems) as flow:
        record_id = await flow.create(metadata={"plan": "pro", "kept": "k"})
        await deliver(flow)
    async with both(database_url, tmp_path, systems=systems) as flow:
        if repaired:
            report = await compared(flow, "crm", repair=True)
            assert report.complete, report
        else:
            edit(flow, name="Eve")
        await deliver(flow)
        await flow.runtime.customers.patch(record_id, {"name": "Bob"}, correlation_id="t")
        await deliver(flow)
        assert (await flow.record(record_id))["metadata"] == {"plan": "pro", "kept": "k"}
        assert held(flow)["metadata"]["tier"] == "pro"
        assert held(flow)["metadata"]["kept"] == "k"
        assert await in_sync(flow, record_id) == SYNCED


async def test_a_broken_profile_turns_off_its_connection_alone(
    database_url: str, tmp_path: Path
) -> None:
    systems = {"crm": FakeSystem(), "full": FakeSystem()}
    async with both(database_url, tmp_path, systems=systems, working=False) as flow:
        systems["crm"].create(name="Ada", metadata={"tier": "pro"})
        request = systems["crm"].webhooks.pop()
        await flow.runtime.ingress.accept("crm", request, "test")
    async with both(database_url, tmp_path, "[customer]\nx = 1", systems=systems) as flow:
        off = flow.runtime.router.off
        assert list(off) == ["crm"]
        assert off["crm"].endswith("crm.toml:2:1: customer.x is not a known field")
        record_id = await flow.create(name="Eve")
        await flow.until_scalar("SELECT count(*) = 1 FROM external_mappings")
        assert (await flow.mapping(record_id, "full"))["state"] == "active"
        assert await flow.scalar("SELECT count(*) FROM customers") == 1
        assert systems["crm"].calls == []


async def test_limits_of_the_plugin_hold_for_places(database_url: str, tmp_path: Path) -> None:
    limits = Schema(
        "limits", {"properties": {"metadata": {"additionalProperties": {"maxLength": 3}}}}
    )
    async with both(database_url, tmp_path, working=False) as flow:
        crm = flow.runtime.connections["crm"]
        plugin = replace(crm.plugin, schemas={"customer.limits": limits})
        checked = FieldLimits({"crm": replace(crm, plugin=plugin)})
        checked.check("customer", {"/name": "Augusta", "/metadata/plan": "pro", "/phone": "123"})
        with pytest.raises(SchemaViolation) as error:
            checked.check("customer", {"/phone": "1234", "/email": "long"})
        (violation,) = error.value.violations
        assert violation.pointer == "/phone"
        assert "connection crm" in violation.message


RULES = """
[customer.fields]
"/phone" = { there = "/metadata/mobile", schema = { pattern = "^[+]" } }
[customer.rules]
refuse = REFUSED
"""


async def test_the_api_refuses_a_change_that_breaks_a_rule(
    database_url: str, tmp_path: Path
) -> None:
    profile = RULES.replace("REFUSED", "false")
    async with both(database_url, tmp_path, profile, working=False) as flow:
        with pytest.raises(SchemaViolation) as error:
            await flow.create(phone="1")
        (violation,) = error.value.violations
        assert violation.pointer == "/phone"
        assert violation.message.endswith("for connection crm")
        record_id = await flow.create(phone="+1")
        with pytest.raises(SchemaViolation):
            await flow.runtime.customers.patch(record_id, {"phone": "2"}, correlation_id="t")


async def test_a_violation_from_there_is_recorded(database_url: str, tmp_path: Path) -> None:
    async with both(database_url, tmp_path, RULES.replace("REFUSED", "false")) as flow:
        record_id = await flow.create(phone="+1")
        await deliver(flow)
        edit(flow, metadata={"mobile": "1"})
        await deliver(flow)
        assert (await flow.record(record_id))["phone"] == "1"
        (entry,) = await flow.rows(
            "SELECT detail FROM sync_event_history WHERE detail LIKE '%violations%'"
        )
        (violation,) = orjson.loads(entry["detail"])["violations"]
        assert (violation["connection"], violation["pointer"]) == ("crm", "/phone")
        # A later change of another field makes no violation.
        await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="t")
        await deliver(flow)
        assert held(flow)["name"] == "Eve"


@pytest.mark.parametrize("thin", [False, True])
async def test_a_refused_object_becomes_a_dead_letter(
    database_url: str, tmp_path: Path, thin: bool
) -> None:
    systems = {"crm": FakeSystem(thin=thin), "full": FakeSystem()}
    profile = RULES.replace("REFUSED", "true")
    async with both(database_url, tmp_path, profile, systems=systems) as flow:
        systems["crm"].create(name="Ada", metadata={"mobile": "1"})
        systems["crm"].create(name="Eve", metadata={"mobile": "+1"})
        await deliver(flow)
        assert await flow.scalar("SELECT string_agg(name, ',') FROM customers") == "Eve"
        (dead,) = await flow.rows("SELECT * FROM sync_events WHERE status = 'dead'")
        assert "by the profile of crm, is not valid: /phone" in dead["error_message"]
