"""`zenskar connections test`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zenskar.cli import session
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines
from zenskar.errors import ConfigurationError, InvalidInput, NotFound

if TYPE_CHECKING:
    from zenskar.plugins.configuration import ConfiguredConnection

Name = Annotated[str, typer.Argument(help="The connection, see `zenskar connections list`.")]
_STANDARD_INPUT = "-"
_ENTITY = "customer"
_TITLES = {
    "document": "The canonical document there",
    "body": "The body of a create",
    "record": "The record that comes back",
    "not_seen": "Fields that are not seen",
    "travels": "Whether the record passes the filter and travels",
}


def show_both_ways(
    name: Name,
    record: Annotated[
        Path | None,
        typer.Option("--record", help="A customer in JSON, - for the standard input."),
    ] = None,
    seen: Annotated[
        Path | None,
        typer.Option("--object", help="An object of the external system in JSON, or -."),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show a record both ways: the push that it becomes, and the record that comes back.

    Nothing is written, and the external system is not called.
    """
    from zenskar.ops.checks.profile_trial import ProfileTrial
    from zenskar.schema_catalog import core_schemas

    trial = ProfileTrial(_connection(name), core_schemas())
    if record is not None and seen is None:
        found = trial.of_record(_ENTITY, _read(record))
    elif seen is not None and record is None:
        found = trial.of_object(_ENTITY, _read(seen))
    else:
        raise InvalidInput("give either --record or --object")
    if output is Output.JSON:
        print_json(found)
        return
    for part, value in found.items():
        text = json.dumps(value, indent=2, ensure_ascii=False)
        print_lines(f"{_TITLES[part]}:", *text.splitlines(), "")


def _connection(name: str) -> "ConfiguredConnection":
    """Return a connection. Raises `NotFound`, and `ConfigurationError` if it cannot be used."""
    from zenskar.plugins.configuration import configure
    from zenskar.plugins.discovery import discover

    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=False)
    connection = configure(discover(), settings, environment).get(name)
    if connection is None:
        raise NotFound(f"no connection is called {name!r}")
    if connection.problem:
        raise ConfigurationError(f"connection {name} is off: {connection.problem}")
    return connection


def _read(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file. Raises `InvalidInput`."""
    try:
        given = str(path) == _STANDARD_INPUT
        document = json.loads(sys.stdin.read() if given else path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise InvalidInput(f"{path} is not JSON") from None
    if not isinstance(document, dict):
        raise InvalidInput(f"{path} is not a JSON object")
    return document
