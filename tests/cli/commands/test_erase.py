"""`zenskar erase`."""

from typing import Any

from tests.cli.conftest import Cli, with_flow
from tests.support.flow import Flow
from zenskar.ids import new_id


def make(database: str) -> str:
    async def create_customer(flow: Flow) -> Any:
        record_id = await flow.create(name="Zarathustra Quux")
        await flow.settle()
        return record_id

    return str(with_flow(database, create_customer))


def test_it_says_what_it_would_do_and_does_it_when_told(cli: Cli, database: str) -> None:
    customer = make(database)
    would = cli.json("erase", "customer", customer, "--dry-run")
    assert (would["dry_run"], would["rows"]["customers"]) == (True, 1)
    assert "Quux" in cli("explain", "customer", customer)
    assert "--yes" in cli("erase", "customer", customer, code=1)
    said = cli("erase", "customer", customer, "--yes")
    assert f"The customer {customer} is erased." in said
    assert "obj_0" in said
    explained = cli("explain", "customer", customer)
    assert "Quux" not in explained
    assert customer in explained
    again = cli.json("erase", "customer", customer, "--yes")
    assert again["erased_at"] is not None


def test_who_never_was_is_said(cli: Cli, database: str) -> None:
    assert "there was none" in cli("erase", "customer", new_id(), "--yes", code=1)
    assert "is not an id" in cli("erase", "customer", "ada@example.com", "--yes", code=1)
