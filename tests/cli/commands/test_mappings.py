"""`zenskar mappings link`, against a local Stripe."""

import pytest

from tests.cli.commands.conftest import Remote
from tests.cli.conftest import Cli

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
    assert planned == f"{second} of stripe would be linked with a new customer.\n"
    assert "is linked with record" in cli("mappings", "link", "stripe", first, "--new", code=1)
    linked = cli.json("mappings", "link", "stripe", second, "--new")
    assert (linked["done"], linked["external_id"]) == (True, second)
    assert cli.json("dlq", "list")["data"] == []
    (report,) = cli.json("reconcile", "stripe", "--settle", "0")["data"]
    assert report["found"] == {}
