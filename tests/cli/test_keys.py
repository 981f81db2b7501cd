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


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "x" * 201])
def test_a_name_is_one_line(cli: Cli, database: str, name: str) -> None:
    assert "error: a key's name" in cli("keys", "create", name, code=1)
