"""`zenskar connections test`."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

PROFILE = """
[customer.fields]
"/metadata/plan" = { there = "/metadata/tier" }
"/email" = { direction = "in" }
[customer.filter.schema.properties.metadata.properties]
plan.const = "pro"
"""


@pytest.fixture
def stripe(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_do_not_show_me")
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_do_not_show_me")
    monkeypatch.setenv("STRIPE_PROFILE", "stripe.toml")
    profile = home / "stripe.toml"
    profile.write_text(PROFILE)
    return profile


def test_a_record_is_shown_both_ways(cli: Cli, stripe: Path) -> None:
    record = {"name": "Ada", "email": "a@x.org", "metadata": {"plan": "pro"}}
    Path("record.json").write_text(json.dumps(record))
    found = cli.json("connections", "test", "stripe", "--record", "record.json")
    assert found["document"]["metadata"] == {"tier": "pro"}
    assert found["body"]["metadata"]["tier"] == "pro"
    assert "email" not in found["body"]
    assert found["record"]["metadata"] == {"plan": "pro"}
    assert found["record"]["email"] is None
    assert found["travels"] is True
    table = cli("connections", "test", "stripe", "--record", "record.json")
    assert "The body of a create:" in table
    assert '"tier": "pro"' in table


def test_an_object_is_shown_as_the_record_that_it_becomes(cli: Cli, stripe: Path) -> None:
    seen = {"id": "cus_1", "object": "customer", "name": "Ada", "metadata": {"tier": "gold"}}
    Path("object.json").write_text(json.dumps(seen))
    found = cli.json("connections", "test", "stripe", "--object", "object.json")
    assert found["document"]["metadata"] == {"tier": "gold"}
    assert found["record"]["metadata"] == {"plan": "gold"}
    assert found["record"]["name"] == "Ada"
    assert found["travels"] is False


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("stripe",), "give either --record or --object"),
        (("stripe", "--record", "absent.json"), "No such file"),
        (("stripe", "--record", "stripe.toml"), "is not JSON"),
        (("stripe", "--record", "wrong.json"), "/name: must be of type"),
        (("other", "--record", "wrong.json"), "no connection is called 'other'"),
    ],
)
def test_a_wrong_argument_is_named(
    cli: Cli, stripe: Path, arguments: tuple[str, ...], problem: str
) -> None:
    Path("wrong.json").write_text('{"name": 1}')
    assert problem in cli("connections", "test", *arguments, code=1)


def test_a_broken_profile_is_shown_by_every_command(cli: Cli, stripe: Path, database: str) -> None:
    stripe.write_text('[customer.fields]\n"/nam" = {}')
    problem = 'stripe.toml:2:1: customer.fields."/nam" must be the pointer of a part'
    assert problem in cli("connections", "test", "stripe", "--record", "x", code=1)
    (plugin,) = (p for p in cli.json("plugins", "list")["data"] if p["name"] == "stripe")
    assert problem in plugin["problem"]
    (row,) = cli.json("connections", "list")["data"]
    assert row["state"] == "off"
    assert problem in row["reason"]
    found = cli.json("doctor", code=1)
    assert any(problem in str(each) for each in found["checks"])
