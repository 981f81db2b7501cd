"""`zenskar events`."""

from typing import Any

import pytest

from tests.cli.conftest import Cli, with_flow
from tests.support.fake import FakeError
from tests.support.flow import Flow
from zenskar import FailureKind


def refuse(_push: object) -> None:
    raise FakeError(FailureKind.REJECTED)


@pytest.fixture
def customer(database: str) -> str:
    """Make a customer that is pushed, then edited on the other side."""

    async def sync_both_ways(flow: Flow) -> Any:
        record_id = await flow.create()
        await flow.settle()
        await flow.deliver()
        system = flow.systems["fake"]
        system.edit(next(iter(system.objects)), email="ada@new.example")
        await flow.deliver()
        return record_id

    return str(with_flow(database, sync_both_ways))


@pytest.fixture
def dead(database: str) -> str:
    """Create a dead sync event."""

    async def fail_push(flow: Flow) -> Any:
        flow.systems["fake"].before = refuse
        record_id = await flow.create()
        await flow.settle()
        return record_id

    with_flow(database, fail_push)
    return database


def test_events_are_listed_newest_first_and_filtered(cli: Cli, customer: str) -> None:
    every = cli.json("events", "list")["data"]
    assert [e["direction"] for e in every if e["event_type"] != "customer.resync"] == [
        "inbound",
        "inbound",
        "outbound",
    ]
    assert all(event["entity_id"] == customer for event in every)
    outbound = cli.json("events", "list", "--direction", "outbound", "--status", "succeeded")
    assert every[-1] in outbound["data"]
    assert cli.json("events", "list", "--source", "nobody") == {"data": []}
    assert cli.json("events", "list", "--customer", customer)["data"] == every
    assert cli.json("events", "list", "--limit", "1")["data"] == every[:1]
    assert cli.json("events", "list", "--before", every[0]["id"])["data"] == every[1:]


def test_a_table_shows_whole_ids(cli: Cli, customer: str) -> None:
    table = cli("events", "list")
    assert customer in table
    assert "succeeded" in table
    assert "no such sync event" in cli("events", "list", "--status", "dead")


def test_one_event_is_shown_with_the_changes_of_its_history(cli: Cli, customer: str) -> None:
    events = cli.json("events", "list", "--direction", "outbound")["data"]
    created = next(e for e in events if e["event_type"] == "customer.created")
    text = cli("events", "show", created["id"])
    assert '/email -> "ada@example.com"' in text
    assert "succeeded (pushed)" in text
    shown = cli.json("events", "show", created["id"])
    assert [entry["status"] for entry in shown["history"]][::3] == ["pending", "succeeded"]
    everything = "".join(
        cli("events", "show", event["id"]) for event in cli.json("events", "list")["data"]
    )
    assert '/email -> "ada@new.example"' in everything


def test_an_unknown_event_and_a_wrong_filter_fail(cli: Cli, database: str) -> None:
    unknown = "01990000-0000-7000-8000-000000000000"
    assert "error: there is no sync event" in cli("events", "show", unknown, code=1)
    assert "is not an id" in cli("events", "show", "nonsense", code=1)
    assert "is not an id" in cli("events", "list", "--customer", "nonsense", code=1)
    assert "Invalid value" in cli("events", "list", "--status", "lost", code=2)


def test_what_was_given_up_is_worked_on_again(cli: Cli, dead: str) -> None:
    (event,) = cli.json("events", "list", "--status", "dead")["data"]
    assert event["error_kind"] == "rejected"
    assert cli.json("events", "retry", event["id"]) == {"retried": 1}
    (event,) = cli.json("events", "list")["data"]
    assert (event["status"], event["attempts"]) == ("pending", 0)

    async def push_again(flow: Flow) -> Any:
        await flow.settle()
        return len(flow.systems["fake"].objects)

    assert with_flow(dead, push_again) == 1
    assert [e["status"] for e in cli.json("events", "list")["data"]] == ["succeeded"]
    assert "error: only sync events" in cli("events", "retry", event["id"], code=1)


def test_a_retry_is_never_of_everything_by_accident(cli: Cli, dead: str) -> None:
    assert "--all" in cli("events", "retry", code=1)
    assert cli.json("events", "retry", "--source", "nobody") == {"retried": 0}
    assert cli.json("events", "retry", "--all") == {"retried": 1}


def test_a_lost_message_is_sent_again(cli: Cli, database: str) -> None:
    async def lose_message(flow: Flow) -> Any:
        await flow.create()
        async with flow.runtime.engine.connect() as db:
            await db.exec_driver_sql("DELETE FROM outbox")
        return await flow.scalar("SELECT CAST(id AS text) FROM sync_events")

    event_id = with_flow(database, lose_message, working=False)
    assert "sent again" in cli("events", "resend", event_id, "--reason", "it is lost")
    (action,) = cli.json("audit", "list")["data"]
    assert (action["action"], action["target"], action["reason"]) == (
        "resend",
        event_id,
        "it is lost",
    )
    unknown = "01990000-0000-7000-8000-000000000000"
    assert "error: there is no unfinished" in cli("events", "resend", unknown, code=1)
