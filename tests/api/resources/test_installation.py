"""`/doctor`, `/plugins` and `/migrations` over HTTP."""

import asyncio
import time
from typing import Any

import pytest

from tests.support.api import Api, body_of, open_api, problem_of
from zenskar import Health
from zenskar.ops.checks import check_connections, checkup
from zenskar.ops.checks.check_connections import OpenConnections
from zenskar.ops.checks.finding import Finding
from zenskar.plugins.inventory import PluginInventory
from zenskar.settings import load


def parts(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["part"]: check for check in found["checks"]}


async def test_every_part_of_the_process_is_checked(api: Api) -> None:
    found = await body_of(await api.client.get("/doctor"), 200)
    checks = parts(found)
    assert checks["connection fake"]["verdict"] == "ok"
    assert checks["database"]["verdict"] == "ok"
    assert checks["schema"]["detail"] == "is up to date"
    assert checks["workers"]["fix"] == "start `zenskar worker`, or `zenskar dev`"
    assert found["ok"] is False
    assert "api keys" not in checks


async def test_a_system_that_refuses_the_credentials_fails(api: Api) -> None:
    api.flow.systems["fake"].health = Health(ok=False, detail="401")
    found = parts(await body_of(await api.client.get("/doctor"), 200))["connection fake"]
    assert (found["verdict"], found["detail"]) == ("failed", "401")


async def test_a_connection_that_is_off_says_why(api: Api) -> None:
    api.flow.runtime.router.turn_off("fake", "`open` failed")
    found = parts(await body_of(await api.client.get("/doctor"), 200))["connection fake"]
    assert (found["verdict"], found["detail"]) == ("failed", "`open` failed")
    (plugin,) = (await body_of(await api.client.get("/plugins"), 200))["data"]
    assert plugin["problem"] == "connection fake is off: `open` failed"


async def test_callers_share_a_checkup(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    original = check_connections.check

    async def counted(opened: OpenConnections, name: str) -> list[Finding]:
        calls.append(name)
        return await original(opened, name)

    monkeypatch.setattr(check_connections, "check", counted)
    await asyncio.gather(*(api.client.get("/doctor") for _ in range(5)))
    assert calls == ["fake"]


async def test_a_part_without_an_answer_does_not_hold_up_the_others(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_opened: OpenConnections, _name: str) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(check_connections, "check", hang)
    monkeypatch.setattr(checkup, "PART_SECONDS", 0.2)
    began = time.monotonic()
    checks = parts(await body_of(await api.client.get("/doctor"), 200))
    assert time.monotonic() - began < 5
    assert checks["connection fake"]["detail"] == "no answer within 0.2 seconds"
    assert checks["database"]["verdict"] == "ok"


async def test_the_plugins_are_those_of_the_process(api: Api) -> None:
    (plugin,) = (await body_of(await api.client.get("/plugins"), 200))["data"]
    assert (plugin["name"], plugin["kind"], plugin["entities"]) == (
        "fake",
        "integration",
        ["customer"],
    )
    assert plugin["problem"] is None


async def test_the_schema_is_up_to_date(api: Api) -> None:
    found = await body_of(await api.client.get("/migrations"), 200)
    assert found["up_to_date"] is True
    assert found["current"] == found["head"]
    async with api.flow.runtime.engine.begin() as db:
        await db.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    behind = await body_of(await api.client.get("/migrations"), 200)
    assert (behind["current"], behind["up_to_date"]) == ("0001", False)
    assert "run `zenskar migrate`" in str(await body_of(await api.client.get("/doctor"), 200))


async def test_a_checkup_calls_others_so_it_needs_more_than_read(database_url: str) -> None:
    async with open_api(database_url, auth="required") as api:
        await problem_of(await api.client.get("/doctor"), 401)


def test_wrong_settings_of_connections_leave_the_plugins_listed() -> None:
    found = PluginInventory.of({}, load({"ZENSKAR_CONNECTIONS": "Not A Name"}), {})
    assert (list(found.plugins), found.unusable) == ([], {})
