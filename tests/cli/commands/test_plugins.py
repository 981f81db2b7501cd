"""`zenskar plugins`."""

import sys

import pytest

from tests.cli.conftest import Cli
from zenskar import BaseIntegration, hookimpl
from zenskar.plugins import discovery
from zenskar.plugins.discovery import Plugin


def test_missing_settings_are_named_by_their_variables(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_do_not_show_me")
    text = cli("plugins", "list")
    assert "STRIPE_WEBHOOK_SECRET" in text
    stripe = next(p for p in cli.json("plugins", "list")["data"] if p["name"] == "stripe")
    assert stripe["missing"] == ["STRIPE_WEBHOOK_SECRET"]
    assert stripe["distribution"] == "zenskar-stripe"
    settings = {setting["variable"]: setting for setting in stripe["settings"]}
    assert settings["STRIPE_API_KEY"]["set"]
    assert settings["STRIPE_API_KEY"]["secret"]
    assert "do_not_show_me" not in text + str(stripe)


def test_a_plugin_that_cannot_be_used_says_why(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Plugin("broken", "acme-broken", "1.0", problem="cannot be loaded: ImportError()")
    monkeypatch.setattr(discovery, "discover", lambda: {"broken": broken})
    assert "cannot be loaded" in cli("plugins", "list")
    (row,) = cli.json("plugins", "list")["data"]
    assert (row["name"], row["problem"]) == ("broken", broken.problem)


def test_a_plugin_without_a_connection_has_a_kind_of_its_own(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Rules:
        @hookimpl
        def record_changed(self) -> None: ...

    plugins = {
        "rules": Plugin("rules", "acme-rules", "1.0", broadcast=Rules()),
        "crm": Plugin("crm", "acme-crm", "1.0", BaseIntegration),
        "broken": Plugin("broken", "acme-broken", "1.0", problem="cannot be loaded"),
    }
    monkeypatch.setattr(discovery, "discover", lambda: plugins)
    assert "broadcast" in cli("plugins", "list")
    kinds = {row["name"]: row["kind"] for row in cli.json("plugins", "list")["data"]}
    assert kinds == {"rules": "broadcast", "crm": "integration", "broken": None}


def test_none_installed_says_what_to_do(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "discover", dict)
    assert "pip install" in cli("plugins", "list")
    assert cli.json("plugins", "list") == {"data": []}


def test_a_connection_that_does_not_start_says_why(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Leaving(BaseIntegration):
        async def open(self) -> None:
            sys.exit("enough")

    plugin = Plugin("leaving", "acme-leaving", "1.0", Leaving)
    monkeypatch.setattr(discovery, "discover", lambda: {"leaving": plugin})
    (row,) = cli.json("plugins", "list")["data"]
    assert row["problem"].startswith("connection leaving is off: `open` failed: SystemExit")
