"""`zenskar plugins`."""

import asyncio
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zenskar.cli import session
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines, print_table

if TYPE_CHECKING:
    from zenskar.plugins.discovery import Plugin
    from zenskar.plugins.inventory import PluginInventory
    from zenskar.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The installed integrations.")
_COLUMNS = {
    "name": "NAME",
    "distribution": "DISTRIBUTION",
    "version": "VERSION",
    "kind": "KIND",
    "entities": "ENTITIES",
    "missing": "MISSING SETTINGS",
    "problem": "PROBLEM",
}


@app.callback()
def plugins() -> None:
    """Group the commands, even a single command."""


@app.command("list")
def show(output: OutputOption = Output.TABLE) -> None:
    """List the plugins with their kind, the problem of each, and its missing settings."""
    from zenskar.plugins.discovery import discover

    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=False)
    found = asyncio.run(_inventory(settings, environment, discover()))
    rows = [plugin.to_json() for plugin in found.plugins]
    if output is Output.JSON:
        print_json({"data": rows})
    elif rows:
        print_table(_COLUMNS, rows)
    else:
        print_lines("No plugin is installed: pip install zenskar-NAME, for a system to sync with.")


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="The name of the system, such as acme.")],
    into: Annotated[
        Path | None,
        typer.Option("--into", help="An empty or a new folder; zenskar-NAME unless given."),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make the distribution of a new plugin, with tests that pass."""
    from zenskar.cli.scaffold import PluginNames, make

    names = PluginNames(name)
    folder = into or Path(names.distribution)
    files = make(names, folder)
    if output is Output.JSON:
        print_json({"name": name, "folder": str(folder), "files": files, "next": _next(folder)})
        return
    print_lines(
        f"{folder} holds the plugin {name} with {len(files)} files. It syncs with an imaginary CRM "
        f"until you change it.",
        "",
        *(f"  {command}" for command in _next(folder)),
        "",
        f"Then change {names.package}/__init__.py hook by hook; README.md says how.",
    )


@app.command("check")
def check(
    name: Annotated[str, typer.Argument(help="The name of the plugin.")],
    case: Annotated[
        str | None,
        typer.Option(
            "--case",
            help="MODULE:CLASS of its test class, a subclass of IntegrationConformance.",
            show_default="tests.test_conformance:TestConformance, if it is there",
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", help="Check this server, not the look-alike.")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", help="Write the verdicts to this file too.")
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Check a plugin with the conformance kit. The exit code is 1 after a failure."""
    from zenskar.cli.plugin_report import check_plugin

    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=False)
    report = check_plugin(name, environment, case=case, url=against)
    if junit is not None:
        report.write_junit(junit)
    if output is Output.JSON:
        print_json(report.to_json())
    else:
        print_table(report.columns, report.rows())
        print_lines(*report.lines())
    if report.failed:
        raise typer.Exit(1)


def _next(folder: Path) -> list[str]:
    return [
        f"cd {shlex.quote(str(folder))}",
        "python -m pip install --editable . --group dev",
        "pytest",
        "zenskar plugins list",
    ]


async def _inventory(
    settings: "Settings", environment: Mapping[str, str], plugins: "Mapping[str, Plugin]"
) -> "PluginInventory":
    """Return the plugins, after the integration of each connection was opened once."""
    from zenskar.cli.commands.doctor import open_connections
    from zenskar.errors import ConfigurationError
    from zenskar.plugins.inventory import PluginInventory

    found = PluginInventory.of(plugins, settings, environment)
    try:
        async with open_connections(settings, environment, plugins) as opened:
            return found.with_problems(opened.problems_of_plugins)
    except ConfigurationError:
        return found  # `zenskar doctor` reports wrong settings
