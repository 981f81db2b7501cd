"""`zenskar mappings link`, against a local Stripe."""

import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.cli.commands.conftest import Remote
from tests.cli.conftest import Cli, with_flow
from tests.crash.processes import DEADLINE_SECONDS, LEASES, ROOT
from tests.support.flow import Flow

TWO = {"name": "Ada", "email": "ada@example.com"}


def test_a_person_decides_about_a_second_object(
    cli: Cli, stripe: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_MATCH_BY", "email")
    first = stripe.create(**TWO)
    cli("backfill", "stripe")
    second = stripe.create(**TWO)
    assert "1 wait for a decision" in cli("backfill", "stripe", code=3)
    (letter,) = cli.json("dlq", "list", "--filter", "reason=ambiguous_match")["data"]
    assert letter["external_id"] == second
    assert "name the customer, or give --new" in cli("mappings", "link", "stripe", second, code=1)
    planned = cli("mappings", "link", "stripe", second, "--new", "--dry-run")
    assert planned == (
        f"{second} of stripe would be linked with a new customer.\nDead letters that end: 1\n"
    )
    assert "is linked with record" in cli("mappings", "link", "stripe", first, "--new", code=1)
    linked = cli.json("mappings", "link", "stripe", second, "--new")
    assert (linked["done"], linked["external_id"]) == (True, second)
    assert cli.json("dlq", "list")["data"] == []
    (report,) = cli.json("reconcile", "stripe", "--settle", "0")["data"]
    assert report["found"] == {}


@pytest.mark.parametrize("point", ["link.published", "link.applied"])
def test_a_killed_link_is_completed_by_a_repeat(
    cli: Cli, stripe: Remote, database: str, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    for name, value in (*LEASES.items(), ("STRIPE_MATCH_BY", "email")):
        monkeypatch.setenv(name, value)
    stripe.create(**TWO)
    cli("backfill", "stripe")
    second = stripe.create(**TWO)
    cli("backfill", "stripe", code=3)

    async def create(flow: Flow) -> str:
        created = await flow.create(name="Eve", email="eve@example.com")
        await flow.settle()
        return created

    # The record belongs to another connection alone, so it is free.
    record_id = with_flow(database, create)
    wanted = ("stripe", second, record_id)
    killed = subprocess.run(
        (sys.executable, "-m", "tests.crash.victim", "link", point, *wanted),
        cwd=ROOT,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL

    async def owners(flow: Flow) -> list[Any]:
        query = "SELECT CAST(entity_id AS text) FROM external_mappings WHERE external_id = :id"
        return [row["entity_id"] for row in await flow.rows(query, id=second)]

    found = with_flow(database, owners, working=False)
    assert found == [record_id] or (point == "link.published" and found == [])
    assert len(cli.json("dlq", "list")["data"]) == 1
    again = cli.json("mappings", "link", *wanted)
    assert (again["done"], again["record_id"]) == (True, record_id)
    assert cli.json("dlq", "list")["data"] == []
    assert with_flow(database, owners, working=False) == [record_id]
    (report,) = cli.json("reconcile", "stripe", "--settle", "0")["data"]
    assert report["found"] == {}
    assert "is linked with record" in cli("mappings", "link", "stripe", second, "--new", code=1)
