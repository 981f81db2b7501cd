"""`zenskar backfill --plan` and `--apply`, against a local Stripe."""

from pathlib import Path

from tests.cli.commands.conftest import Remote
from tests.cli.conftest import Cli


def test_a_plan_is_shown_and_then_applied(cli: Cli, stripe: Remote, home: Path) -> None:
    for number in range(3):
        stripe.create(name=f"Customer {number}", email=f"c{number}@example.com")
    shown = cli("backfill", "stripe", "--match", "email", "--plan", "plan.json")
    assert "create_here" in shown
    assert "Nothing was changed. Apply it: zenskar backfill stripe --apply plan.json" in shown
    text = (home / "plan.json").read_text()
    assert "example.com" not in text
    assert "Customer" not in text
    assert "exists" in cli("backfill", "stripe", "--plan", "plan.json", code=1)
    stripe.create(name="Customer 3", email="C0@example.com")
    (other,) = cli.json("backfill", "stripe", "--match", "email", "--plan", "other.json", code=3)[
        "data"
    ]
    assert (other["counts"]["create_here"], other["counts"]["ambiguous"]) == (2, 1)
    (result,) = cli.json("backfill", "stripe", "--apply", "plan.json")["data"]
    assert (result["steps"], result["done"], result["skipped"]) == (3, 3, [])
    again = cli("backfill", "stripe", "--apply", "plan.json")
    assert again.startswith("stripe customer: 3 steps, 0 done, 3 done before, 0 queued")
    skipped = cli("backfill", "stripe", "--apply", "other.json", code=3)
    assert "the object belongs to record" in skipped


def test_options_that_do_not_fit_are_refused(cli: Cli, stripe: Remote) -> None:
    assert "--match is for --plan" in cli("backfill", "stripe", "--match", "email", code=1)
    both = cli("backfill", "stripe", "--plan", "a", "--apply", "b", code=1)
    assert "not both" in both
    wrong = cli("backfill", "stripe", "--match", "phone", "--plan", "p.json", code=1)
    assert "the first field of customer must be email" in wrong
