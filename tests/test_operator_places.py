"""An operator finds each action at the command line, over HTTP and in the console.

Each command names its counterparts, or why it has none: a new one fails here until it does.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import typer

from tests.support.api import Api, body_of, open_api
from zenskar.cli.app import app
from zenskar.console.site_map import ACTIONS, PAGES

GENERAL = {"--output", "--reason", "--limit", "--before", "--help"}
"""Options of the form of an answer, of every action, and of the pages of a list."""
PLACE = re.compile(r"{place[^}]*}+?(?=$|/[a-z])")


@dataclass(frozen=True)
class Place:
    """The routes and the paths of the console for a command, or the reasons for their absence.

    `options` maps an option or an argument to its name over HTTP, or to the reason that it has
    none, which contains a space.
    """

    http: tuple[str, ...] | str
    console: tuple[str, ...] | str
    options: Mapping[str, str] = field(default_factory=dict)


_PROCESS = "it is a process, which the platform starts and stops"
_MIGRATES = "a release migrates before its processes start; a browser and an API key must not"
_AUTHOR = "it is for authors of plugins, and works on files"
_RUN = "/runs/new/{kind}/{source}/{entity}"
_FILE = "a file of the command line; the plan of a run is stored with the run"
_IN_FORM = "a part of the body or the address"
_RUNS = ("POST /runs",)
_FILTER = {"--filter": _IN_FORM}
_ALL = {"--all": "over HTTP an empty filter means all"}
_DLQ = "/dead-letters"

PLACES: Mapping[str, Place] = {
    "dev": Place(_PROCESS, _PROCESS),
    "api": Place(_PROCESS, _PROCESS),
    "worker": Place(_PROCESS, _PROCESS),
    "migrate": Place(
        ("GET /migrations",),
        ("/system",),
        dict.fromkeys(("direction", "--statement-timeout", "--patience"), _MIGRATES),
    ),
    "doctor": Place(("GET /doctor",), ("/system/doctor",)),
    "reconcile": Place(
        _RUNS,
        (_RUN, "/runs/{run_id}/apply"),
        {
            "entity": "entity_type",
            "--settle": "a run settles for as long as the command does by default",
            "--repair": "the kind of the run",
            "--plan": "the kind of the run",
            "--apply": "plan_of",
            "--profile": "a process has the profile that its settings name",
        },
    ),
    "backfill": Place(
        _RUNS,
        (_RUN, "/runs/{run_id}/apply"),
        {
            "entity": "entity_type",
            "--match": "match_by",
            "--plan": "the kind of the run",
            "--apply": "plan_of",
        },
    ),
    "recover": Place(
        ("GET /recovery", "POST /recovery/repeat-deletes"),
        ("/recovery", "/recovery/repeat-deletes"),
        {"--apply": "a route of its own"},
    ),
    "events list": Place(("GET /sync-events",), ("/events",), {"--customer": "customer_id"}),
    "events show": Place(("GET /sync-events/{id}",), ("/events/{event_id}",), {"event_id": "id"}),
    "events resend": Place(
        ("POST /sync-events/{id}/resend",), ("/events/{event_id}/resend",), {"event_id": "id"}
    ),
    "events retry": Place(
        ("POST /sync-events/{id}/retry", "POST /sync-events/retry"),
        ("/events/{event_id}/retry", "/dead-letters/retry"),
        {
            "event_ids": "ids",
            "--customer": "customer_id",
            **_ALL,
        },
    ),
    "dlq list": Place((f"GET {_DLQ}",), (_DLQ,), _FILTER),
    "dlq groups": Place((f"GET {_DLQ}/groups",), (_DLQ,), _FILTER),
    "dlq acknowledge": Place(
        (f"POST {_DLQ}/acknowledge",), ("/dead-letters/acknowledge",), _FILTER
    ),
    "dlq show": Place(
        (f"GET {_DLQ}/{{id}}",),
        ("/events/{event_id}", "/events/{event_id}/reveal"),
        {"event_id": "id"},
    ),
    "dlq retry": Place(
        (f"POST {_DLQ}/{{id}}/retry", f"POST {_DLQ}/retry"),
        ("/events/{event_id}/retry", "/dead-letters/retry"),
        {"event_ids": "ids", **_FILTER, **_ALL, "--plan": _FILE, "--apply": _FILE},
    ),
    "dlq discard": Place(
        (f"POST {_DLQ}/{{id}}/discard", f"POST {_DLQ}/discard"),
        ("/events/{event_id}/discard", "/dead-letters/discard"),
        {"event_ids": "ids", **_FILTER, **_ALL},
    ),
    "explain customer": Place(
        ("GET /customers/{id}/explanation",),
        ("/records/{entity}/{id}", "/records/{entity}/{id}/reveal"),
        {"customer_id": "id"},
    ),
    "erase customer": Place(
        ("POST /customers/{id}/erase",),
        ("/records/{entity}/{id}/erase",),
        {"customer_id": "id", "--yes": "the method POST and the dialog confirm"},
    ),
    "connections test": Place(("POST /connections/{name}/test",), ("/connections/{name}/test",)),
    "connections check": Place(("POST /connections/{name}/check",), ("/connections/{name}/check",)),
    "connections list": Place(("GET /connections",), ("/connections", "/connections/{name}", "")),
    "connections pause": Place(("POST /connections/{name}/pause",), ("/connections/{name}/pause",)),
    "connections resume": Place(
        ("POST /connections/{name}/resume", "POST /runs"),
        ("/connections/{name}/resume", "/held-deletes/{name}/drop"),
        {"--drop-deletes": "the kind of the run", "--only": "event_ids"},
    ),
    "connections close-guard": Place(
        ("POST /connections/{name}/close-guard",), ("/connections/{name}/close-guard",)
    ),
    "connections poll": Place(("POST /connections/{name}/poll",), ("/connections/{name}/poll",)),
    "connections held": Place(("GET /connections/{name}/held-deletes",), ("/held-deletes",)),
    "bus list": Place(("GET /bus",), ("/bus",)),
    "bus peek": Place(("GET /bus/peek",), ("/bus/messages/{place}",)),
    "bus dead-letter": Place(
        ("POST /bus/dead-letter",),
        ("/bus/messages/{place}/dead-letter",),
        {"--dry-run": "peek shows the message that would be ended"},
    ),
    "customers fetch": Place(
        ("POST /customers/{id}/fetch",),
        ("/records/{entity}/{id}/fetch",),
        {"customer": "id", "--connection": "source"},
    ),
    "customers push": Place(
        ("POST /customers/{id}/push",),
        ("/records/{entity}/{id}/push",),
        {"customer": "id", "--connection": "source"},
    ),
    "customers undelete": Place(
        ("POST /customers/{id}/undelete",), ("/records/{entity}/{id}/undelete",), {"customer": "id"}
    ),
    "mappings link": Place(
        ("POST /connections/{name}/link",),
        ("/connections/{name}/link",),
        {"source": "name", "external": "external_id", "record": "customer_id"},
    ),
    "plugins list": Place(("GET /plugins",), ("/system",)),
    "plugins new": Place(_AUTHOR, _AUTHOR),
    "plugins check": Place(_AUTHOR, _AUTHOR),
    "keys create": Place(("POST /keys",), ("/system/keys/create",), {"--expires": "expires_at"}),
    "keys list": Place(("GET /keys",), ("/system",)),
    "keys revoke": Place(
        ("POST /keys/{prefix}/revoke", "GET /keys/{prefix}"), ("/system/keys/{prefix}/revoke",)
    ),
    "runs list": Place(("GET /runs",), ("/runs",)),
    "runs show": Place(
        ("GET /runs/{id}", "GET /runs/{id}/plan"),
        ("/runs/{run_id}",),
        {"run_id": "id", "--plan": "a route of its own"},
    ),
    "runs stop": Place(("POST /runs/{id}/stop",), ("/runs/{run_id}/stop",), {"run_id": "id"}),
    "audit list": Place(("GET /audit",), ("/audit",)),
}
NO_COMMAND = {
    "GET /customers": "the catalog is for programs; `zenskar explain` shows one customer",
    "GET /customers/{id}": "the same",
    "POST /customers": "the same",
    "PUT /customers/{id}": "the same",
    "PATCH /customers/{id}": "the same",
    "DELETE /customers/{id}": "the same",
    "POST /webhooks/{source}": "for external systems",
    "POST /webhooks/{source}/{token}": "for external systems",
    "GET /webhooks/{source}": "for external systems",
    "GET /webhooks/{source}/{token}": "for external systems",
    "GET /health/live": "for the platform; `zenskar doctor` checks more",
    "GET /health/ready": "for the platform; `zenskar doctor` checks more",
    "GET /metrics": "for Prometheus",
    "GET /openapi.json": "describes the routes",
    "GET /docs": "describes the routes",
}
"""The routes that no operator needs at the command line."""
CONSOLE_ALONE = {"/records": "a search for the id that the commands need"}


def commands() -> dict[str, list[Any]]:
    """Return the parameters of each command."""
    return dict(_walk(typer.main.get_command(app), ()))


def _walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, list[Any]]]:
    for name, below in getattr(command, "commands", {}).items():
        yield from _walk(below, (*words, name))
    if not hasattr(command, "commands"):
        yield " ".join(words), command.params


def console_paths() -> set[str]:
    """Return the paths of the pages and the actions."""
    return {PLACE.sub("{place}", each.path) for each in (*PAGES, *ACTIONS)}


async def described(api: Api) -> dict[str, set[str]]:
    """Return the names of the parameters and of the fields of the body, by route."""
    document = await body_of(await api.client.get("/openapi.json"), 200)
    schemas = document["components"]["schemas"]
    found: dict[str, set[str]] = {}
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            names = {each["name"] for each in route.get("parameters", ())}
            for content in route.get("requestBody", {}).get("content", {}).values():
                name = content["schema"]["$ref"].rpartition("/")[2]
                names |= schemas[name].get("properties", {}).keys()
            found[f"{method.upper()} {path}"] = names
    return found


def test_every_command_has_its_counterparts_or_says_why_not() -> None:
    assert commands().keys() == PLACES.keys()


async def test_every_route_has_a_command_or_says_why_not(database_url: str) -> None:
    async with open_api(database_url, working=False) as api:
        routes = await described(api)
    named = {route for place in PLACES.values() if isinstance(place.http, tuple)
             for route in place.http}  # fmt: skip
    assert named & NO_COMMAND.keys() == set()
    assert named | NO_COMMAND.keys() == routes.keys()


def test_every_page_and_action_of_the_console_has_a_command() -> None:
    named = {path for place in PLACES.values() if isinstance(place.console, tuple)
             for path in place.console}  # fmt: skip
    assert named | CONSOLE_ALONE.keys() == console_paths()


async def test_every_option_has_a_parameter_or_says_why_not(database_url: str) -> None:
    async with open_api(database_url, working=False) as api:
        routes = await described(api)
    missing = set()
    for name, parameters in commands().items():
        place = PLACES[name]
        if isinstance(place.http, str):
            continue
        offered = set().union(*(routes[route] for route in place.http))
        for option in (each.opts[0] for each in parameters if each.opts[0] not in GENERAL):
            there = place.options.get(option, option.removeprefix("--").replace("-", "_"))
            if " " not in there and there not in offered:
                missing.add(f"{name} {option}")
    assert missing == set()


@pytest.mark.parametrize("name", PLACES)
def test_no_option_is_explained_that_does_not_exist(name: str) -> None:
    options = {each.opts[0] for each in commands()[name]}
    assert PLACES[name].options.keys() <= options
