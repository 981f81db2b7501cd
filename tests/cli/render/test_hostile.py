"""Text of external origin does not control the terminal."""

import json
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.cli.conftest import Cli
from tests.cli.test_main import COMMANDS
from tests.support.postgres import apart
from zenskar import cli as package
from zenskar.ids import new_id

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\u2028\r\nforged line\x7f"
HARMFUL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]|^forged", re.MULTILINE)
EVENT, CUSTOMER = new_id(), new_id()
SKIPPED = {"dev", "api", "worker", "migrate"}
"""They show nothing of the database; what they log has a test of its own."""
DETAIL = {
    "reason": HOSTILE,
    HOSTILE: HOSTILE,
    "changes": {f"/metadata/{HOSTILE}": HOSTILE},
    "seen": {"/name": HOSTILE},
    "conflicts": [
        {
            "path": f"/{HOSTILE}",
            "base": HOSTILE,
            "internal": HOSTILE,
            "external": HOSTILE,
            "winner": HOSTILE,
        }
    ],
    "violations": [{"plugin": HOSTILE, "pointer": HOSTILE, "message": HOSTILE}],
}
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "events show": (EVENT,),
    "events retry": (EVENT, "--dry-run"),
    "dlq show": (EVENT,),
    "dlq retry": ("--all", "--dry-run"),
    "dlq discard": ("--all", "--dry-run"),
    "explain customer": (CUSTOMER,),
    "erase customer": (CUSTOMER, "--dry-run"),
    "connections pause": (HOSTILE,),
    "connections resume": (HOSTILE,),
    "keys create": (HOSTILE,),
    "keys revoke": (HOSTILE,),
    "backfill": (HOSTILE,),
    "reconcile": (HOSTILE,),
}


@pytest.fixture
def hostile(cli: Cli, database: str) -> str:
    """Fill every text column of every table with what commands a terminal."""
    apart(lambda: fill(database))
    return database


async def fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    columns = await connection.fetch(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name <> 'alembic_version' AND is_identity = 'NO'"
    )
    tables: dict[str, dict[str, Any]] = {}
    for table, column, kind in columns:
        tables.setdefault(table, {})[column] = value(table, column, kind)
    for table, row in tables.items():
        given = {name: each for name, each in row.items() if each is not None}
        names = ", ".join(f'"{name}"' for name in given)
        places = ", ".join(f"${number}" for number in range(1, len(given) + 1))
        insert = f"INSERT INTO {table} ({names}) VALUES ({places})"
        await connection.execute(insert, *given.values())
    await connection.close()


def value(table: str, column: str, kind: str) -> Any:
    known = {
        ("sync_events", "id"): EVENT,
        ("sync_event_history", "event_id"): EVENT,
        ("sync_events", "status"): "dead",
        ("sync_event_history", "status"): "dead",
        ("sync_event_history", "detail"): json.dumps(DETAIL),
        ("sync_events", "direction"): "inbound",
        ("connections", "state"): "paused",
        ("push_intents", "state"): "sent",
        ("push_intents", "kind"): "update",
        ("push_intents", "changes"): json.dumps({f"/metadata/{HOSTILE}": HOSTILE}),
        ("push_intents", "body"): json.dumps({"name": HOSTILE}),
        ("external_mappings", "state"): "active",
        ("api_keys", "scope"): "admin",
        ("customers", "deleted_at"): None,
        ("api_keys", "revoked_at"): None,
    }
    if (table, column) in known:
        return known[table, column]
    if column == "entity_type":
        return "customer"
    jsonb = {f"/metadata/{HOSTILE}": HOSTILE, HOSTILE: HOSTILE, "city": HOSTILE}
    by_kind = {
        "uuid": CUSTOMER,
        "jsonb": json.dumps(jsonb),
        "integer": 1,
        "bigint": 1,
        "double precision": 1.0,
        "bytea": HOSTILE.encode(),
        "text": HOSTILE,
    }
    return by_kind.get(kind)


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - SKIPPED))
@pytest.mark.parametrize("output", ["table", "json"])
def test_nothing_of_others_commands_the_terminal(hostile: str, command: str, output: str) -> None:
    from typer.testing import CliRunner

    from zenskar.cli.app import app

    arguments = (*command.split(), *ARGUMENTS.get(command, ()), "--output", output)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code in {0, 1, 2, 3}, result.exception
    assert not isinstance(result.exception, UnicodeError)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    # The user typed this text, so the text is not hostile.
    shown = [result.stdout] if HOSTILE in arguments else [result.stdout, result.stderr]
    for text in shown:
        assert HARMFUL.search(text) is None, text
    if output == "json" and result.stdout:
        json.loads(result.stdout)


def texts(value: Any) -> list[Any]:
    """Return every value of a JSON document."""
    if isinstance(value, dict):
        return [each for nested in value.values() for each in texts(nested)]
    if isinstance(value, list):
        return [each for nested in value for each in texts(nested)]
    return [value]


def test_the_hostile_values_are_shown(cli: Cli, hostile: str) -> None:
    for command in ("events list", f"events show {EVENT}", "dlq list", f"dlq show {EVENT}"):
        assert "owned" in cli(*command.split())
        assert HOSTILE in texts(cli.json(*command.split()))


def test_there_is_one_way_to_the_terminal() -> None:
    folder = Path(package.__file__).parent
    for file in folder.rglob("*.py"):
        if file.name != "output.py":
            assert not re.search(r"typer\.(echo|secho)|click\.echo", file.read_text()), file.name
