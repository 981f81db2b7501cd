"""`zenskar dlq`."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli, with_flow
from tests.support.fake import FakeError
from tests.support.flow import Flow
from zenskar import FailureKind

UNKNOWN_ID = "01990000-0000-7000-8000-000000000000"


def refuse(_push: object) -> None:
    raise FakeError(FailureKind.REJECTED)


@pytest.fixture
def dead(database: str) -> str:
    """Make two dead letters."""

    async def fail_pushes(flow: Flow) -> Any:
        flow.systems["fake"].before = refuse
        for _ in range(2):
            await flow.create()
        await flow.settle()

    with_flow(database, fail_pushes)
    return database


def letters(cli: Cli, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cli.json("dlq", "list", *arguments)["data"]
    return found


def test_dead_letters_are_listed_newest_first_and_filtered(cli: Cli, dead: str) -> None:
    newest, oldest = letters(cli)
    assert newest["id"] > oldest["id"]
    assert letters(cli, "--limit", "1") == [newest]
    assert letters(cli, "--before", newest["id"]) == [oldest]
    assert letters(cli, "--filter", f"customer_id={oldest['entity_id']}") == [oldest]
    both = ("--filter", "source=fake", "--filter", "direction=outbound")
    assert len(letters(cli, *both, "--filter", "error_kind=rejected")) == 2
    assert len(letters(cli, "--filter", "newer_than=1h", "--filter", "older_than=0s")) == 2
    for nothing in ("older_than=1h", "error_kind=bug", "event_type=x", "source=x", "reason=x"):
        assert letters(cli, "--filter", nothing) == []
    assert newest["id"] in cli("dlq", "list")
    assert "no such dead letter" in cli("dlq", "list", "--filter", "source=x")


def test_groups_are_counted_and_selected_by_their_text(cli: Cli, dead: str) -> None:
    (group,) = cli.json("dlq", "groups")["data"]
    assert (group["count"], group["source"], group["error_kind"]) == (2, "fake", "rejected")
    assert len(letters(cli, "--filter", f"error={group['error']}")) == 2
    assert "rejected" in cli("dlq", "groups")
    assert "no such dead letter" in cli("dlq", "groups", "--filter", "error=other")


@pytest.mark.parametrize(
    "wrong",
    ["kind=x", "source", "source=", "older_than=soon", "direction=up", "customer_id=x"],
)
def test_a_wrong_filter_fails_and_says_what_there_is(cli: Cli, dead: str, wrong: str) -> None:
    assert "error: " in cli("dlq", "list", "--filter", wrong, code=1)
    assert "error: " in cli("dlq", "discard", "--filter", wrong, code=1)
    assert "twice" in cli("dlq", "list", "--filter", "source=a", "--filter", "source=b", code=1)
    assert len(letters(cli)) == 2


def test_one_is_shown_without_personal_data_unless_it_is_revealed(cli: Cli, dead: str) -> None:
    event_id = letters(cli)[0]["id"]
    text = cli("dlq", "show", event_id)
    assert "rejected" in text
    assert '/email -> "(hidden)"' in text
    assert "ada@example.com" not in text + str(cli.json("dlq", "show", event_id))
    assert "ada@example.com" in cli("dlq", "show", event_id, "--reveal")
    assert "error: there is no dead letter" in cli("dlq", "show", UNKNOWN_ID, code=1)


def test_retry(cli: Cli, dead: str) -> None:
    event_id = letters(cli)[0]["id"]
    assert cli.json("dlq", "retry", "--all", "--dry-run") == {"matched": 2, "retried": 0}
    assert "2 dead letters would be retried" in cli("dlq", "retry", "--all", "--dry-run")
    assert len(letters(cli)) == 2
    assert cli.json("dlq", "retry", event_id) == {"matched": 1, "retried": 1}
    assert "none of these" in cli("dlq", "retry", event_id, code=1)
    assert "1 dead letters retried" in cli("dlq", "retry", "--filter", "source=fake")
    assert letters(cli) == []
    shown = cli("dlq", "show", event_id)
    assert "the command line on" in shown

    async def push_again(flow: Flow) -> Any:
        await flow.settle()
        return len(flow.systems["fake"].objects)

    assert with_flow(dead, push_again) == 2
    assert {e["status"] for e in cli.json("events", "list")["data"]} == {"succeeded"}


def test_discard(cli: Cli, dead: str) -> None:
    event_id = letters(cli)[0]["id"]
    assert cli.json("dlq", "discard", event_id, "--dry-run") == {"matched": 1, "discarded": 0}
    assert cli.json("dlq", "discard", event_id) == {"matched": 1, "discarded": 1}
    assert cli.json("dlq", "discard", "--all") == {"matched": 1, "discarded": 1}
    assert letters(cli) == []
    assert {e["reason"] for e in cli.json("events", "list")["data"]} == {"discarded"}
    assert "ignored (discarded)" in cli("dlq", "show", event_id)


def test_everything_is_never_meant_by_accident(cli: Cli, dead: str) -> None:
    for command in ("retry", "discard"):
        assert "--all" in cli("dlq", command, code=1)
        assert "--all" in cli("dlq", command, "--all", "--filter", "source=fake", code=1)
        assert "--all" in cli("dlq", command, UNKNOWN_ID, "--all", code=1)


def test_a_retry_is_planned_and_then_applied(cli: Cli, dead: str, tmp_path: Path) -> None:
    file = str(tmp_path / "retry.json")
    newest, oldest = letters(cli)
    shown = cli("dlq", "retry", "--filter", "source=fake", "--plan", file)
    assert re.search(r"^fake +outbound +rejected +2 *$", shown, re.MULTILINE)
    assert f"Apply it: zenskar dlq retry --apply {file}" in shown
    assert "ada@example.com" not in shown + Path(file).read_text()
    assert letters(cli) == [newest, oldest]
    cli("dlq", "discard", newest["id"])
    alone = cli("dlq", "retry", "--all", "--apply", file, code=1)
    assert "of its plan alone" in alone
    result = cli.json("dlq", "retry", "--apply", file, code=3)
    assert (result["done"], [each["event_id"] for each in result["skipped"]]) == (
        1,
        [newest["id"]],
    )
    again = cli("dlq", "retry", "--apply", file, code=3)
    assert "0 retried, 1 retried before, 1 skipped" in again
    assert "exists" in cli("dlq", "retry", "--all", "--plan", file, code=1)


def test_a_cause_is_acknowledged(cli: Cli, dead: str) -> None:
    chosen = ("--filter", "error_kind=rejected", "--reason", "INC-7")
    assert cli("dlq", "acknowledge", *chosen) == "2 dead letters are acknowledged.\n"
    (group,) = cli.json("dlq", "groups")["data"]
    assert group["acknowledged"]["reason"] == "INC-7"
    assert group["acknowledged"]["by"] in cli("dlq", "groups")
    assert "acknowledge a cause" in cli("dlq", "acknowledge", "--filter", "newer_than=1h", code=1)
    assert "acknowledge a cause" in cli("dlq", "acknowledge", code=1)
    assert "no group" in cli("dlq", "acknowledge", "--filter", "source=x", code=1)
    assert "no group" in cli("dlq", "acknowledge", "--filter", "error=…", code=1)
    assert letters(cli, "--filter", "since=1h")
    assert letters(cli, "--filter", "until=1h") == []
