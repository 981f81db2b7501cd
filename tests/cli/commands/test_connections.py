"""`zenskar connections`."""

import asyncio
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, with_flow
from tests.cli.processes import run
from tests.support.flow import Flow
from tests.support.postgres import apart
from zenskar import BaseIntegration, ConnectionPaused, ConnectionResumed, hookimpl
from zenskar.db import call_limits
from zenskar.db.driver.engine import in_transaction
from zenskar.model.sync_event import Direction
from zenskar.plugins import discovery
from zenskar.plugins.discovery import Plugin
from zenskar.sync.dead_letters import UnsentMessage
from zenskar.sync.quarantine import quarantine
from zenskar_stripe.sandbox import StripeSandbox


@pytest.fixture
def stripe(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_do_not_show_me")
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_do_not_show_me")


def test_a_connection_is_paused_and_resumed(cli: Cli, stripe: None) -> None:
    (row,) = cli.json("connections", "list")["data"]
    assert (row["name"], row["state"], row["waiting"], row["dead"]) == ("stripe", "active", 0, 0)
    assert cli.json("connections", "pause", "stripe", "--reason", "INC-7")["state"] == "paused"
    found = cli.json("doctor", code=1)["checks"]
    assert "stripe: paused by an operator: INC-7" in [each["detail"] for each in found]
    table = cli("connections", "list")
    assert "INC-7" in table
    assert "do_not_show_me" not in table
    assert "is active" in cli("connections", "resume", "stripe")
    (row,) = cli.json("connections", "list")["data"]
    assert (row["state"], row["reason"]) == ("active", None)


def test_the_calls_of_a_limit_are_shown(cli: Cli, stripe: None, database: str) -> None:
    async def use_some(flow: Flow) -> None:
        limits = [("", 86_400.0, 100)]
        await in_transaction(flow.runtime.engine, lambda c: call_limits.lock(c, "stripe", limits))

    with_flow(database, use_some)
    (row,) = cli.json("connections", "list")["data"]
    (limit,) = row["call_limits"]
    assert (limit["calls"], limit["used"]) == (100, 0)
    assert "0/100 in 86400 s" in " ".join(cli("connections", "list").split())


def test_a_pause_is_announced_to_broadcast_plugins(
    cli: Cli, stripe: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[object] = []

    class Pager:
        @hookimpl
        def connection_paused(self, notice: ConnectionPaused) -> None:
            received.append(notice)

        @hookimpl
        def connection_resumed(self, notice: ConnectionResumed) -> None:
            received.append(notice)

    plugins = discovery.discover()
    plugins["pager"] = Plugin("pager", "acme-pager", "1", broadcast=Pager())
    monkeypatch.setattr(discovery, "discover", lambda: plugins)
    cli("connections", "pause", "stripe")
    cli("connections", "resume", "stripe")
    assert received == [
        ConnectionPaused("stripe", "paused by an operator"),
        ConnectionResumed("stripe"),
    ]


def test_an_unknown_connection_is_refused(cli: Cli, stripe: None) -> None:
    text = cli("connections", "pause", "strype", code=1)
    assert text == "error: no connection is called 'strype'; there are: stripe\n"


def test_without_any_the_way_to_one_is_named(cli: Cli, database: str) -> None:
    assert "zenskar plugins list" in cli("connections", "list")
    assert cli.json("connections", "list") == {"data": []}


def test_what_cannot_be_read_is_no_connection(cli: Cli, stripe: None, database: str) -> None:
    async def bury_some(flow: Flow) -> None:
        for key in ("poison", "cus_null", "k3:x", "stripe:cus_1"):
            message = UnsentMessage(key, b"no JSON")
            await quarantine(flow.runtime.context, message, "no JSON", Direction.INBOUND)

    with_flow(database, bury_some)
    (row,) = cli.json("connections", "list")["data"]
    assert (row["name"], row["dead"]) == ("stripe", 0)
    checks = {check["part"]: check for check in cli.json("doctor", code=1)["checks"]}
    assert checks["dead letters"]["detail"] == "4 that cannot be read"


def test_a_poll_is_made_due_unless_there_is_no_feed(
    cli: Cli, stripe: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.json("connections", "poll", "stripe", "--reason", "INC-7") == {
        "name": "stripe",
        "due": "now",
    }
    assert "read within seconds" in cli("connections", "poll", "stripe")
    (_, first) = cli.json("audit", "list", "--action", "poll")["data"]
    assert (first["target"], first["reason"]) == ("stripe", "INC-7")
    assert "no connection is called" in cli("connections", "poll", "strype", code=1)
    integration = discovery.discover()["stripe"].integration
    assert integration is not None
    monkeypatch.setattr(integration, "changes", BaseIntegration.changes)
    assert "has no feed" in cli("connections", "poll", "stripe", code=1)


def test_a_delete_guard_is_closed_after_a_release(cli: Cli, stripe: None, database: str) -> None:
    assert "is closed already" in cli("connections", "close-guard", "stripe", code=1)

    async def release(flow: Flow) -> None:
        async with flow.runtime.engine.begin() as db:
            await db.exec_driver_sql(
                "INSERT INTO connections (name, deletes_allowed_through) VALUES ('stripe', now())"
            )

    with_flow(database, release)
    assert cli("connections", "close-guard", "stripe") == "The delete guard of stripe is closed.\n"
    (entry,) = cli.json("audit", "list")["data"]
    assert (entry["action"], entry["target"]) == ("close_guard", "stripe")


def test_the_credentials_are_checked(cli: Cli, stripe: None, database: str, home: Path) -> None:
    async def look() -> None:
        async with StripeSandbox(api_key="sk_test_right") as sandbox:
            variables = {
                "ZENSKAR_DATABASE_URL": database,
                "STRIPE_WEBHOOK_SECRET": "whsec_do_not_show_me",
                "STRIPE_API_BASE": sandbox.base_url,
            }
            for key, words, code in (
                ("sk_test_right", "stripe accepts the credentials", 0),
                ("sk_test_wrong", "stripe does not accept the credentials", 1),
            ):
                done = await asyncio.to_thread(
                    run,
                    *("connections", "check", "stripe", "--reason", "a new key"),
                    folder=home,
                    STRIPE_API_KEY=key,
                    **variables,
                )
                assert (done.returncode, words in done.stdout) == (code, True), done

    apart(look)
    actions = cli.json("audit", "list", "--action", "check")["data"]
    assert [(a["reason"], a["result"]) for a in actions] == [
        ("a new key", {"ok": False}),
        ("a new key", {"ok": True}),
    ]
