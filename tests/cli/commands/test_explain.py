"""`zenskar explain`."""

from dataclasses import dataclass

import pytest

from tests.cli.conftest import Cli, with_flow
from tests.support.flow import Flow

MARKUP = "[red]Ada\x1b[31m <b>\u202e"
TWIN = "twin@example.com"


@dataclass(frozen=True)
class Ada:
    """A customer that was given the e-mail of another one in the external system."""

    id: str
    external_id: str


@pytest.fixture
def ada(database: str) -> Ada:
    async def story(flow: Flow) -> Ada:
        await flow.create(name="Twin", email=TWIN)
        record_id = await flow.create(name=MARKUP)
        await flow.settle()
        await flow.deliver()
        external_id = str((await flow.mapping(record_id))["external_id"])
        flow.systems["fake"].edit(external_id, email=TWIN)
        await flow.deliver()
        return Ada(record_id, external_id)

    found = with_flow(database, story)
    assert isinstance(found, Ada)
    return found


def test_a_person_reads_what_happened(cli: Cli, ada: Ada) -> None:
    text = cli("explain", "customer", ada.id)
    lines = text.splitlines()
    assert lines[0] == f"Customer {ada.id}, version 2"
    assert max(map(len, lines)) <= 100
    for part in (
        "API: customer.created, version 1",
        "fake: create sent  <- #1",
        "showed email",
        f'email: "ada@example.com" -> "{TWIN}"',
        f"{ada.external_id}, active, equal to the record",
    ):
        assert part in text


def test_nothing_in_a_name_commands_the_terminal(cli: Cli, ada: Ada) -> None:
    text = cli("explain", "customer", ada.id)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert r'"[red]Ada\u001b[31m <b>\u202e"' in text


def test_a_program_reads_the_same(cli: Cli, ada: Ada) -> None:
    found = cli.json("explain", "customer", ada.external_id)
    assert (found["id"], found["version"], found["truncated"]) == (ada.id, 2, False)
    (system,) = found["systems"]
    assert (system["external_id"], system["in_sync"]) == (ada.external_id, True)
    (email,) = [p for p in found["provenance"] if p["path"] == "/email"]
    step = found["steps"][email["step"] - 1]
    diff = {"path": "/email", "before": "ada@example.com", "after": TWIN, "known": True}
    assert (step["kind"], step["changes"], step["at"]) == (email["kind"], [diff], email["at"])
    assert step["at"].endswith("Z")
    assert "echo" in {s["verdict"] for s in found["steps"]}


def test_one_field(cli: Cli, ada: Ada) -> None:
    text = cli("explain", "customer", ada.id, "--field", "name")
    assert "Timeline of name" in text
    assert TWIN not in text
    assert "there are name, email" in cli("explain", "customer", ada.id, "--field", "x", code=1)


def test_the_newest_events_alone(cli: Cli, ada: Ada) -> None:
    assert "give a higher --limit" in cli("explain", "customer", ada.id, "--limit", "1")


@pytest.mark.parametrize(
    "name", ["00000000-0000-7000-8000-000000000000", "obj_99", "nobody@example.com", "\x00"]
)
def test_an_unknown_name_is_an_error(cli: Cli, database: str, name: str) -> None:
    text = cli("explain", "customer", name, code=1)
    assert text == "error: no customer has this id, external id or e-mail\n"


def test_an_email_of_several_customers_lists_them(cli: Cli, ada: Ada) -> None:
    text = cli("explain", "customer", TWIN, code=1)
    listed, _, error = text.partition("error: ")
    assert ada.id in listed
    assert f"fake:{ada.external_id}" in listed
    assert error == "2 customers match: choose one by its id\n"
