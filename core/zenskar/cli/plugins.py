"""`zenskar plugins`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from zenskar.cli import session
from zenskar.cli.output import Output, OutputOption, show_json, show_table

if TYPE_CHECKING:
    from zenskar.plugins.loader import Plugin

app = typer.Typer(no_args_is_help=True, help="The installed integrations.")
_COLUMNS = {
    "name": "NAME",
    "distribution": "DISTRIBUTION",
    "version": "VERSION",
    "entities": "ENTITIES",
    "missing": "MISSING SETTINGS",
    "problem": "PROBLEM",
}


@app.callback()
def plugins() -> None:
    """Keep `list` a command of its own."""


@app.command("list")
def show(output: OutputOption = Output.TABLE) -> None:
    """List the plugins, what is wrong with each, and the settings that each still needs."""
    from zenskar.plugins.loader import discover

    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=False)
    rows = [_row(plugin, environment) for _, plugin in sorted(discover().items())]
    if output is Output.JSON:
        show_json({"data": rows})
    elif rows:
        show_table(_COLUMNS, rows)
    else:
        typer.echo("No plugin is installed: pip install zenskar-NAME, for the system to sync with.")


def _row(plugin: "Plugin", environment: Mapping[str, str]) -> dict[str, Any]:
    from zenskar.plugins.loader import missing_settings

    integration = plugin.integration
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "problem": plugin.problem,
        "entities": list(integration.entities) if integration else [],
        "missing": list(missing_settings(plugin, plugin.name, environment)),
        "settings": _settings(plugin, environment),
    }


def _settings(plugin: "Plugin", environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Name the variables and say whether they are set; their values are nobody's business."""
    from zenskar.plugins.loader import variable
    from zenskar.settings import lookup

    return [
        {
            "variable": (name := variable(plugin.name, setting.name)),
            "set": lookup(environment, name) is not None,
            "required": setting.required,
            "secret": setting.secret,
            "help": setting.help,
        }
        for setting in (plugin.integration.settings if plugin.integration else ())
    ]
