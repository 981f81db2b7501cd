"""Print the results of commands: tables for people, JSON for programs."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from zenskar.telemetry.terminal import printable, printable_json


class Output(StrEnum):
    """The output format of a command."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[
    Output, typer.Option("--output", help="json prints only JSON on standard output.")
]
_PIPE_WIDTH = 10_000
"""The width of a table in a pipe, which has no screen edge."""


def print_json(value: Any) -> None:
    """Print JSON on standard output."""
    import orjson

    text = orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)
    typer.echo(printable_json(text.decode()))


def print_lines(*lines: str, error: bool = False) -> None:
    """Print lines for people on standard output, or on standard error."""
    typer.echo("\n".join(map(printable, lines)), err=error)


def print_table(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print a table; `columns` maps names in the rows to titles."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in columns.values():
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(cell(row.get(name)) for name in columns))
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    Console(width=width, markup=False, highlight=False, emoji=False).print(table)


def cell(value: Any) -> str:
    """Return a value as one line for people."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(cell, value)) or "-"
    return printable(str(value))


def _plain(value: Any) -> Any:
    if isinstance(value, (set, tuple)):
        return list(value)
    return str(value)
