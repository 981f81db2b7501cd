"""`zenskar keys`."""

import re

import pytest

from tests.cli.conftest import Cli


def test_a_key_is_shown_once_and_only_as_itself(cli: Cli, database: str) -> None:
    key = cli("keys", "create", "ci").strip()
    assert re.fullmatch(r"zsk_[A-Za-z0-9]{8}_[A-Za-z0-9]{43}", key)
    listed = cli("keys", "list") + str(cli.json("keys", "list"))
    assert "ci" in listed
    assert key not in listed
    assert key.split("_")[2] not in listed


def test_a_revoked_key_stays_listed(cli: Cli, database: str) -> None:
    made = cli.json("keys", "create", "laptop")
    assert made["key"].startswith(f"zsk_{made['prefix']}_")
    cli("keys", "revoke", made["prefix"])
    (listed,) = cli.json("keys", "list")["data"]
    assert (listed["name"], listed["prefix"]) == ("laptop", made["prefix"])
    assert listed["revoked_at"]
    assert "error: no living key" in cli("keys", "revoke", made["prefix"], code=1)


def test_a_key_has_a_scope_and_may_expire(cli: Cli, database: str) -> None:
    cli("keys", "create", "all")
    made = cli.json("keys", "create", "some", "--scope", "read", "--expires", "90d")
    assert (made["scope"], made["expires_at"] is None) == ("read", False)
    cli("keys", "create", "short", "--scope", "write", "--expires", "2999-12-31T00:00:00Z")
    listed = cli.json("keys", "list")["data"]
    assert [key["scope"] for key in listed] == ["admin", "read", "write"]
    assert listed[0]["expires_at"] is None
    assert listed[2]["expires_at"].startswith("2999-12-31")
    assert "read" in cli("keys", "list")


@pytest.mark.parametrize(
    "expires",
    ["", "0d", "-1d", "1y", "yesterday", "2001-01-01", "99999999w", "999999w", "9" * 500 + "d"],
)
def test_an_expiry_lies_ahead(cli: Cli, database: str, expires: str) -> None:
    assert "error: --expires" in cli("keys", "create", "x", "--expires", expires, code=1)
    assert cli.json("keys", "list")["data"] == []


def test_there_are_three_scopes(cli: Cli, database: str) -> None:
    cli("keys", "create", "x", "--scope", "all", code=2)


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "x" * 201])
def test_a_name_is_one_line(cli: Cli, database: str, name: str) -> None:
    assert "error: a key's name" in cli("keys", "create", name, code=1)
