"""The common behaviour of all commands."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.cli.conftest import Cli
from tests.cli.processes import DEADLINE_SECONDS, ZENSKAR, run
from zenskar.cli import servers
from zenskar.cli.app import app
from zenskar.worker.service import ROLES


def commands(command: Any, name: str = "") -> Iterator[str]:
    """Yield every command that does something, by its words."""
    children = getattr(command, "commands", {})
    for word, child in children.items():
        yield from commands(child, f"{name} {word}")
    if not children:
        yield name.strip()


COMMANDS = tuple(commands(typer.main.get_command(app)))
CONTRACT = {
    *("dev", "api", "worker", "migrate", "doctor", "backfill", "reconcile", "explain customer"),
    *("events list", "events show", "events retry"),
    *("dlq list", "dlq show", "dlq retry", "dlq discard"),
    *("connections list", "connections pause", "connections resume"),
    *("keys create", "keys list", "keys revoke", "plugins list"),
}


def test_no_command_is_missing() -> None:
    assert set(COMMANDS) >= CONTRACT


def test_the_version_is_the_distributions(cli: Cli) -> None:
    assert cli("--version").strip() == f"zenskar {version('zenskar')}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_speaks_json(cli: Cli, command: str) -> None:
    text = cli(*command.split(), "--help")
    assert "Usage: " in text
    assert "--output" in text


@pytest.mark.parametrize(
    "command",
    ["api", "worker", "migrate", "migrate status", "doctor", "events list", "keys create x"],
)
@pytest.mark.parametrize("query", ["sslmode=strange", "pgbouncer=true", "sslrootcert=/nowhere"])
def test_a_database_url_that_cannot_be_followed_is_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, command: str, query: str
) -> None:
    url = f"postgresql://u:s3cret@127.0.0.1:1/db?{query}"
    monkeypatch.setenv("ZENSKAR_DATABASE_URL", url)
    said = cli(*command.split(), code=1)
    assert query.partition("=")[0] in said
    assert "s3cret" not in said
    if command != "doctor":
        assert len(said.splitlines()) == 1
        if command in {"api", "worker"}:
            assert json.loads(said)["event"] == "command_failed"
        else:
            assert said.startswith("error: ")


def test_help_loads_no_server_and_no_database() -> None:
    code = (
        "import sys\n"
        "from zenskar.cli.app import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'sqlalchemy', 'aiohttp', 'alembic', 'stripe', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    command = (sys.executable, "-c", code)
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


_INTERRUPTED_LOAD = """
import sys
from zenskar.cli.main import main
class Interrupter:
    def find_spec(self, name, *_):
        if name == "zenskar.cli.commands":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupter())
main()
"""


def test_an_interrupt_while_the_commands_are_loaded_is_no_crash() -> None:
    command = (sys.executable, "-c", _INTERRUPTED_LOAD)
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_an_error_is_one_line_without_a_traceback(home: Path) -> None:
    done = run("events", "list", folder=home)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: there is no database in ")
    assert "zenskar migrate" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(home.iterdir()) == []


def test_a_data_folder_that_cannot_be_opened_is_named(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The folder of another user fails at the same call, but not for root.
    folder = "x" * 300
    monkeypatch.setenv("ZENSKAR_DATA_DIR", folder)
    expected = f"error: the data folder {folder} cannot be used: File name too long\n"
    assert cli("keys", "list", code=1) == expected


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ZENSKAR_PORT", "many"),
        ("ZENSKAR_LOG_LEVEL", "loud"),
        ("ZENSKAR_DATABASE_URL", "mysql://user:s3cret@host/db"),
        ("ZENSKAR_DATABASE_URL_FILE", "/nowhere/at/all"),
    ],
)
def test_a_wrong_setting_is_named(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    text = cli("events", "list", code=1)
    assert text.startswith("error: ")
    assert variable in text or "postgresql://" in text
    assert "s3cret" not in text


def test_a_dotenv_file_is_read(cli: Cli, home: Path) -> None:
    (home / ".env").write_text("ZENSKAR_PORT=nonsense\n")
    assert "ZENSKAR_PORT" in cli("events", "list", code=1)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody:s3cret@127.0.0.1:1/zenskar",
        "postgresql://nobody:s3cret@does-not-exist.invalid/zenskar",
    ],
)
@pytest.mark.parametrize("command", ["events list", "api", "worker", "migrate", "keys list"])
def test_a_database_that_is_away_is_said_in_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, command: str, url: str
) -> None:
    monkeypatch.setenv("ZENSKAR_DATABASE_URL", url)
    text = cli(*command.split(), code=1)
    if command in {"api", "worker"}:
        text = f"error: {json.loads(text)['problem']}"
    assert text.startswith("error: the database is unavailable")
    assert "s3cret" not in text


@pytest.mark.parametrize(("command", "code"), [("events list", 1), ("events list --limit many", 2)])
def test_an_error_is_json_where_the_logs_are(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, command: str, code: int
) -> None:
    monkeypatch.setenv("ZENSKAR_LOG_FORMAT", "json")
    line = json.loads(cli(*command.split(), code=code))
    assert (line["event"], line["level"], line["logger"]) == (
        "command_failed",
        "error",
        "zenskar.cli",
    )


def test_a_bug_is_json_without_its_text(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("ada-canary")

    monkeypatch.setattr(servers, "_prepare", fail)
    line = json.loads(cli("api", code=1))
    assert line["event"] == "command_crashed"
    assert line["trace"][0] == "KeyError"
    assert "canary" not in str(line)
    monkeypatch.setenv("ZENSKAR_LOG_FORMAT", "console")
    with pytest.raises(AssertionError, match="ada-canary"):
        cli("api")


def test_a_database_that_does_not_exist_is_said_in_one_line(
    cli: Cli, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZENSKAR_DATABASE_URL", database.replace("/test_", "/nothing_"))
    assert "refuses the connection" in cli("events", "list", code=1)


def test_the_roles_are_those_of_the_worker() -> None:
    assert tuple(servers.ALL_ROLES.split(",")) == ROLES


def test_an_output_that_is_full_or_closed_is_no_crash(tmp_path: Path) -> None:
    listing = (*ZENSKAR, "plugins", "list", "--output", "json")
    with Path("/dev/full").open("w") as full:
        failed = subprocess.run(
            listing,
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=DEADLINE_SECONDS,
        )
    assert failed.returncode == 1
    assert failed.stderr == "error: the output cannot be written: No space left on device\n"
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&-', "sh", *listing],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    assert (closed.returncode, closed.stderr) == (0, "")
