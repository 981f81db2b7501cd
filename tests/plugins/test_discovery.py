"""Plugins are found, judged one by one, and configured from the environment."""

import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from importlib_metadata import EntryPoint

from zenskar import BaseIntegration, Setting
from zenskar.errors import ConfigurationError
from zenskar.kernel import ConflictPolicy
from zenskar.model.fields import CUSTOMER
from zenskar.model.integration import Connection
from zenskar.plugins.carried import carried
from zenskar.plugins.configuration import configure, unusable_connections
from zenskar.plugins.connection_settings import missing_settings
from zenskar.plugins.discovery import GROUP, Plugin, discover
from zenskar.settings import load


class Good(BaseIntegration):
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("api_key", required=True, secret=True),
        Setting("rate_limit", float, default=5.0),
        Setting("strict", bool, default=False),
    )


class Partial(BaseIntegration):
    carries: ClassVar[Mapping[str, tuple[str, ...]]] = {"customer": ("email", "metadata")}


class FromTheFuture(BaseIntegration):
    plugin_api = 99


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> str:
    name = "zenskar_test_plugin"
    module = types.ModuleType(name)
    module.__path__ = []  # type: ignore[attr-defined]
    for thing in (Good, FromTheFuture):
        setattr(module, thing.__name__, thing)
    module.Nothing = 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, module)
    return name


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


def good() -> dict[str, Plugin]:
    return {"good": Plugin("good", "zenskar-good", "1", Good)}


def test_one_broken_plugin_does_not_stop_the_others(module: str) -> None:
    found = discover(
        [
            entry("broken", "no_such_module:X"),
            entry("nothing", f"{module}:Nothing"),
            entry("future", f"{module}:FromTheFuture"),
        ]
    )
    assert "no_such_module" in str(found["broken"].problem)
    assert "BaseIntegration" in str(found["nothing"].problem)
    assert "API 99" in str(found["future"].problem)


def test_a_plugin_that_exits_when_it_is_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "zenskar_leaving.py").write_text("import sys; sys.exit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    found = discover([entry("leaving", "zenskar_leaving:X")])
    assert found["leaving"].problem == "cannot be loaded: SystemExit(3)"


@pytest.mark.parametrize(
    ("shows", "told"),
    [
        ("raise ValueError", "cannot be loaded: Bad"),
        ("return 'first\\n\\x1bsecond'", "cannot be loaded: first second"),
        ("return 'x' * 10_000", f"cannot be loaded: {'x' * 500}…"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_told_in_one_short_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shows: str, told: str
) -> None:
    text = f"class Bad(Exception):\n    def __repr__(self):\n        {shows}\nraise Bad"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "zenskar_untold.py").write_text(text)
    assert discover([entry("untold", "zenskar_untold:X")])["untold"].problem == told


def test_a_name_that_no_variable_can_begin_with_is_refused(module: str) -> None:
    found = discover([entry("my-dash", f"{module}:Good")])
    assert "lower-case letters" in str(found["my-dash"].problem)
    assert found["my-dash"].integration is None


def test_a_named_connection_of_a_broken_plugin_is_left_out() -> None:
    plugins = good() | {"broken": Plugin("broken", "acme", "1", problem="cannot be loaded")}
    settings = load({}, connections="good,eu=broken")
    environment = {"GOOD_API_KEY": "k"}
    assert set(configure(plugins, settings, environment)) == {"good"}
    assert unusable_connections(plugins, settings, environment) == {
        "eu": "plugin broken cannot be loaded"
    }


class EuKey(BaseIntegration):
    settings: ClassVar[tuple[Setting, ...]] = (Setting("eu_api_key"),)


@pytest.mark.parametrize("connections", ["a=euk,a_eu=good", "a_eu=good,a=euk"])
def test_two_connections_never_read_one_variable(connections: str) -> None:
    plugins = good() | {"euk": Plugin("euk", "test", "1", EuKey)}
    with pytest.raises(ConfigurationError, match="both read A_EU_API_KEY"):
        configure(plugins, load({}, connections=connections), {"A_EU_API_KEY": "k"})


def test_no_connection_reads_our_own_settings() -> None:
    with pytest.raises(ConfigurationError, match="cannot be called zenskar"):
        configure(good(), load({}, connections="zenskar=good"), {"ZENSKAR_API_KEY": "k"})


def test_a_name_that_two_distributions_claim_is_refused() -> None:
    found = discover([entry("twice", "a:A"), entry("twice", "b:B")])
    assert "several distributions" in str(found["twice"].problem)
    assert found["twice"].integration is None


def test_a_plugin_whose_settings_are_there_gets_a_connection_of_its_name() -> None:
    connections = configure(good(), load({}), {"GOOD_API_KEY": "k", "GOOD_STRICT": "yes"})
    assert connections["good"].connection.settings == {
        "api_key": "k",
        "rate_limit": 5.0,
        "strict": True,
    }
    assert configure(good(), load({}), {}) == {}


def test_one_plugin_may_have_several_connections() -> None:
    environment = {"EU_API_KEY": "e", "US_API_KEY": "u", "EU_CONFLICT_POLICY": "external_wins"}
    connections = configure(good(), load({}, connections="eu=good, us=good"), environment)
    assert connections["eu"].merge_policy.default is ConflictPolicy.EXTERNAL_WINS
    assert connections["us"].merge_policy.default is ConflictPolicy.INTERNAL_WINS


def test_policies_may_differ_by_field() -> None:
    environment = {"GOOD_API_KEY": "k", "GOOD_CONFLICT_POLICY": "latest_wins,email=external_wins"}
    policy = configure(good(), load({}), environment)["good"].merge_policy
    assert policy.of("/email") is ConflictPolicy.EXTERNAL_WINS
    assert policy.of("/metadata/plan") is ConflictPolicy.LATEST_WINS


def test_a_connection_may_match_by_other_fields_than_its_plugin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declared = {"customer": ("email", "name")}
    kind = good()["good"].integration
    assert kind is not None
    monkeypatch.setattr(kind, "match_by", declared)
    environment = {"GOOD_API_KEY": "k", "EU_API_KEY": "k", "US_API_KEY": "k"}
    environment |= {"EU_MATCH_BY": "email", "US_MATCH_BY": "off"}
    connections = configure(good(), load({}, connections="good,eu=good,us=good"), environment)
    assert {name: each.match_by for name, each in connections.items()} == {
        "good": declared,
        "eu": {"customer": ("email",)},
        "us": {},
    }


def test_the_winner_of_a_join_may_differ_by_field() -> None:
    environment = {"GOOD_API_KEY": "k", "GOOD_JOIN_WINNER": "external, phone=internal"}
    joins = configure(good(), load({}), environment)["good"].merge_policy.for_joins
    assert joins.of("/email") is ConflictPolicy.EXTERNAL_WINS
    assert joins.of("/phone") is ConflictPolicy.INTERNAL_WINS


@pytest.mark.parametrize(
    ("connections", "environment", "message"),
    [
        ("good", {}, "GOOD_API_KEY"),
        ("x=nothing", {}, "no plugin 'nothing'"),
        ("Bad-Name=good", {}, "Bad-Name"),
        ("good,good", {"GOOD_API_KEY": "k"}, "'good'"),
        ("good", {"GOOD_API_KEY": "k", "GOOD_RATE_LIMIT": "fast"}, "GOOD_RATE_LIMIT"),
        ("good", {"GOOD_API_KEY": "k", "GOOD_STRICT": "maybe"}, "GOOD_STRICT"),
        ("good", {"GOOD_API_KEY": "k", "GOOD_CONFLICT_POLICY": "mine"}, "GOOD_CONFLICT_POLICY"),
        ("good", {"GOOD_API_KEY": "k", "GOOD_PROPAGATE_DELETES": "?"}, "GOOD_PROPAGATE_DELETES"),
        ("good", {"GOOD_API_KEY": "k", "GOOD_MATCH_BY": "phone"}, "GOOD_MATCH_BY: the first field"),
        ("good", {"GOOD_API_KEY": "k", "GOOD_MATCH_BY": "email,x"}, "GOOD_MATCH_BY: .* by 'x'"),
        ("good", {"GOOD_API_KEY": "k", "GOOD_JOIN_WINNER": "mine"}, "GOOD_JOIN_WINNER"),
        ("good", {"GOOD_API_KEY": "k", "GOOD_JOIN_WINNER": "x=external"}, "GOOD_JOIN_WINNER"),
    ],
)
def test_a_wrong_connection_is_named(
    connections: str, environment: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        configure(good(), load({}, connections=connections), environment)


def test_missing_settings_are_told_by_variable() -> None:
    assert missing_settings(good()["good"], "eu", {}) == ("EU_API_KEY",)


def test_an_integration_carries_what_it_declares_and_all_without_a_declaration() -> None:
    shape = carried(Partial(Connection("partial")), "customer")
    assert (shape.plain, shape.keyed) == (("email",), ("metadata",))
    assert carried(Good(Connection("good")), "customer") == CUSTOMER


@pytest.mark.parametrize(
    ("carries", "problem"),
    [
        (("name",), "must be a mapping"),
        ({"customer": "name"}, "must give a tuple of field names for customer"),
        ({"customer": ()}, "must give a tuple of field names for customer"),
        ({"customer": ("name", "fax", 7)}, "customer has no field 'fax', 7, but: name, email, "),
        ({"customer": ("name", [])}, "customer has no field [], but: name, email, "),
        ({"invoice": ("total",)}, "'invoice', which is no entity type"),
        ({7: ("name",)}, "7, which is no entity type"),
    ],
)
def test_a_wrong_declaration_is_told_in_one_line(
    module: str, monkeypatch: pytest.MonkeyPatch, carries: Any, problem: str
) -> None:
    assert_told(module, monkeypatch, "carries", carries, problem)


@pytest.mark.parametrize(
    ("match_by", "problem"),
    [
        (("email",), "must be a mapping"),
        ({"customer": "email"}, "customer needs a tuple of field names"),
        ({"customer": ("email", "email")}, "customer needs a tuple of field names, each once"),
        ({"customer": ("email", [])}, "customer needs a tuple of field names"),
        ({"customer": ("email", "name")}, "customer cannot be matched by 'name', but by: email"),
        ({"invoice": ("email",)}, "'invoice', which is no entity type"),
    ],
)
def test_a_wrong_match_is_told_in_one_line(
    module: str, monkeypatch: pytest.MonkeyPatch, match_by: Any, problem: str
) -> None:
    assert_told(module, monkeypatch, "match_by", match_by, problem)


def assert_told(
    module: str, monkeypatch: pytest.MonkeyPatch, name: str, value: Any, problem: str
) -> None:
    """Declare an attribute, and check the problem of the plugin."""
    monkeypatch.setattr(Partial, name, value)
    monkeypatch.setattr(sys.modules[module], "Partial", Partial, raising=False)
    told = discover([entry("partial", f"{module}:Partial")])["partial"].problem
    assert told is not None
    assert problem in told
    assert "\n" not in told
