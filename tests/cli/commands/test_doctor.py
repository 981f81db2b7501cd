"""`zenskar doctor`."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.cli.conftest import Cli, with_flow
from tests.cli.processes import run
from tests.support.fake import FakeSystem, fake_class
from tests.support.flow import Flow
from tests.support.postgres import apart
from zenskar import CallLimit, Usage
from zenskar.cli.commands.doctor import checkup
from zenskar.db import connections
from zenskar.db.connections import PAUSED_BY_OPERATOR
from zenskar.db.driver.engine import in_transaction
from zenskar.plugins.discovery import Plugin
from zenskar.settings import load
from zenskar_stripe.sandbox import StripeSandbox


def parts(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["part"]: check for check in found["checks"]}


def test_where_there_is_nothing_every_mend_is_named(cli: Cli) -> None:
    found = cli.json("doctor", code=1)
    assert found["ok"] is False
    checks = parts(found)
    assert "STRIPE_API_KEY" in checks["plugin stripe"]["fix"]
    assert checks["connections"]["verdict"] == "failed"
    assert "zenskar dev" in checks["database"]["fix"]
    assert checks["api"]["verdict"] == "note"
    assert "STRIPE_API_KEY" in cli("doctor", code=1)


def test_a_database_without_tables_names_the_command(cli: Cli, database: str) -> None:
    cli("migrate", "down")
    assert parts(cli.json("doctor", code=1))["schema"]["fix"] == "zenskar migrate"


def test_what_the_database_tells(cli: Cli, database: str, home: Path) -> None:
    checks = parts(cli.json("doctor", code=1))
    assert checks["schema"]["verdict"] == "ok"
    assert checks["workers"]["verdict"] == "failed"
    assert checks["api keys"]["fix"] == "zenskar keys create NAME"
    cli("keys", "create", "ci")

    async def look(_flow: Flow) -> Any:
        done = await asyncio.to_thread(
            run, "doctor", "--output", "json", folder=home, ZENSKAR_DATABASE_URL=database
        )
        return parts(orjson.loads(done.stdout))

    checks = with_flow(database, look)
    assert checks["workers"]["detail"] == "1 alive"
    assert checks["api keys"]["verdict"] == "ok"


async def test_the_calls_that_a_system_counts_are_shown() -> None:
    limits, usage = (CallLimit(calls=100, seconds=86_400),), (Usage(used=90, calls=1000),)
    system = FakeSystem(call_limits=limits, usage=usage)
    plugins = {"fake": Plugin("fake", "test-fake", "1", fake_class(system))}
    for shown, counted in ((usage, "90 of 1000 calls used"), ((3,), "`usage` failed: ValueError")):
        system.usage = shown  # type: ignore[assignment]
        (finding,) = await checkup(load({}), {}, plugins)._connections()
        assert counted in finding.detail


def test_a_connection_is_tried_out(
    cli: Cli, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_one_that_is_refused")
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_do_not_show_me")

    async def look() -> Any:
        async with StripeSandbox(api_key="sk_test_another_one") as stripe:
            monkeypatch.setenv("STRIPE_API_BASE", stripe.base_url)
            return await asyncio.to_thread(cli.json, "doctor", code=1)

    found = apart(look)
    check = parts(found)["connection stripe"]
    assert (check["verdict"], "401" in check["detail"]) == ("failed", True)
    assert "sk_test_one" not in str(found)


def test_clocks_are_compared(cli: Cli, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_one")
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_do_not_show_me")

    async def look() -> Any:
        async with StripeSandbox(api_key="sk_test_one") as stripe:
            stripe.shift_clock(-90)
            monkeypatch.setenv("STRIPE_API_BASE", stripe.base_url)
            return await asyncio.to_thread(cli.json, "doctor", code=1)

    check = parts(apart(look))["clock of stripe"]
    assert (check["verdict"], check["detail"][-19:]) == ("failed", "seconds behind ours"[-19:])


def test_a_connection_that_is_configured_in_part_fails(
    cli: Cli, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_do_not_show_me")
    check = parts(cli.json("doctor", code=1))["plugin stripe"]
    assert check["verdict"] == "failed"
    assert check["fix"] == "set STRIPE_WEBHOOK_SECRET"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STRIPE_WEBHOOK_SECRET", ","),
        ("STRIPE_WEBHOOK_SECRET", "whsec_"),
        ("STRIPE_API_BASE", "http://stripe.example"),
    ],
)
def test_settings_that_let_others_in_fail(
    cli: Cli, database: str, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_1")
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_1")
    monkeypatch.setenv(variable, value)
    checks = parts(cli.json("doctor", code=1))
    assert any(c["verdict"] == "failed" and variable in str(c) for c in checks.values())


def test_kafka_that_is_away_is_named(
    cli: Cli, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZENSKAR_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    finding = parts(cli.json("doctor", code=1))["kafka"]
    assert finding["verdict"] == "failed"
    assert "ZENSKAR_KAFKA_BOOTSTRAP_SERVERS" in finding["fix"]


def test_an_older_error_is_not_the_cause_of_a_pause(cli: Cli, database: str) -> None:
    async def pause(flow: Flow) -> None:
        engine = flow.runtime.engine
        error = ("credentials", "credentials", "the system answered 401")
        await in_transaction(engine, lambda c: connections.pause(c, "fake", *error))
        await in_transaction(engine, lambda c: connections.resume(c, "fake"))
        await in_transaction(engine, lambda c: connections.pause(c, "fake", PAUSED_BY_OPERATOR))

    with_flow(database, pause)
    assert parts(cli.json("doctor", code=1))["paused"]["detail"] == "fake: paused by an operator"


def test_an_error_that_caused_a_pause_is_shown(cli: Cli, database: str) -> None:
    async def pause(flow: Flow) -> None:
        error = ("credentials", "credentials", "the system answered 401")
        await in_transaction(flow.runtime.engine, lambda c: connections.pause(c, "fake", *error))

    with_flow(database, pause)
    detail = parts(cli.json("doctor", code=1))["paused"]["detail"]
    assert detail == "fake: credentials: the system answered 401"
