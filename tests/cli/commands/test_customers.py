"""`zenskar customers fetch` and `push`."""

import pytest

from tests.cli.commands.conftest import Remote
from tests.cli.conftest import Cli
from zenskar.ids import new_id


@pytest.fixture
def customer(cli: Cli, stripe: Remote) -> str:
    """Make a customer that is linked with an object of Stripe."""
    stripe.create(name="Ada", email="ada@example.com")
    cli("backfill", "stripe")
    (event,) = cli.json("events", "list", "--direction", "inbound", "--since", "1h")["data"]
    return str(event["entity_id"])


@pytest.mark.parametrize("work", ["fetch", "push"])
def test_work_on_a_customer_is_requested_and_audited(cli: Cli, customer: str, work: str) -> None:
    done = cli.json("customers", work, customer, "--reason", "INC-7")
    assert done == {"id": customer, "connections": ["stripe"]}
    named = cli("customers", work, customer, "--connection", "stripe")
    assert named == f"A {work} was requested at stripe.\n"
    requests = cli.json("audit", "list", "--action", work)["data"]
    assert [(each["target"], each["reason"]) for each in requests] == [
        (customer, None),
        (customer, "INC-7"),
    ]
    assert cli.json("audit", "list", "--action", work, "--until", "1h")["data"] == []
    events = cli.json("events", "list", "--direction", "outbound", "--status", "pending")["data"]
    assert events
    assert cli.json("events", "list", "--until", "2h ago")["data"] == []


@pytest.mark.parametrize("work", ["fetch", "push"])
def test_an_unknown_customer_is_refused(cli: Cli, stripe: Remote, work: str) -> None:
    assert "error: " in cli("customers", work, new_id(), code=1)
    assert "is not an id" in cli("customers", work, "ada", code=1)
