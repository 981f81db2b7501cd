"""`zenskar bus`."""

import pytest

from tests.cli.conftest import Cli, with_flow
from tests.support.flow import Flow


@pytest.fixture
def place(database: str) -> str:
    """Return the place of a message that waits."""

    async def write(flow: Flow) -> str:
        await flow.create()
        return f"outbox/{await flow.scalar('SELECT id FROM outbox')}"

    found: str = with_flow(database, write)
    return found


def test_a_message_is_listed_seen_and_ended(cli: Cli, place: str) -> None:
    listed = cli.json("bus", "list")
    assert [each["place"] for each in listed["oldest"]] == [place]
    assert (listed["partitions"], listed["problem"]) == ([], None)
    assert place in cli("bus", "list")
    for text in (cli("bus", "peek", place), cli("bus", "dead-letter", place, "--dry-run")):
        assert "status: pending" in text
        assert "ada@example.com" not in text
    ended = cli.json("bus", "dead-letter", place, "--reason", "INC-7")
    assert ended["dead"] is True
    assert cli.json("dlq", "show", ended["event_id"])["reason"] == "ended_by_operator"
    (action,) = cli.json("audit", "list", "--action", "dead_letter")["data"]
    assert (action["target"], action["reason"]) == (ended["event_id"], "INC-7")
    assert "The outbox is empty." in cli("bus", "list")
    assert "has been processed" in cli("bus", "peek", place, code=1)


def test_a_wrong_place_is_refused(cli: Cli, database: str) -> None:
    assert "a place is outbox/ID" in cli("bus", "peek", "17", code=1)
