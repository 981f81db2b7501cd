"""Translate a document for a connection, without a write or a call."""

from typing import Any

import orjson

from zenskar.api.http import bodies
from zenskar.console.page import ROOT, Action, ActionField, Preview, ShownOnce, Visit
from zenskar.errors import InvalidInput, SchemaViolation
from zenskar.model.json_bounds import Bounds
from zenskar.ops.checks.profile_trial import ProfileTrial

_RECORD, _OBJECT = "record", "object"
_CHOICES = ((_RECORD, "a record of zenskar"), (_OBJECT, "an object of the external system"))
_EXAMPLE = '{\n  "name": "Ada Lovelace",\n  "email": "ada@example.com"\n}'
_BOUNDS = Bounds(members=2000, depth=32)


async def preview(visit: Visit) -> Preview:
    """Ask for the document."""
    name = visit.part("name")
    _trial(visit)
    entities = visit.services.router.owner(name).entities
    return Preview(
        f"Try a document at {name}",
        "Shows what a record becomes at the external system, and the record that comes back. "
        "Nothing is written, and the external system is not called.",
        "Show",
        _back(visit),
        fields=[
            ActionField("entity", "Entity type", choices=[(each, each) for each in entities]),
            ActionField("kind", "Document", choices=_CHOICES),
            ActionField("document", "JSON", _EXAMPLE, long=True),
        ],
        audited=False,
    )


async def run(visit: Visit) -> ShownOnce:
    """Show the document both ways. Raises `InvalidInput`."""
    trial, form = _trial(visit), visit.form
    document = _parse(form.get("document", ""))
    entity_type = form.get("entity", "")
    if entity_type not in visit.services.router.owner(visit.part("name")).entities:
        raise InvalidInput("entity: must be one of the choices")
    if form.get("kind") == _OBJECT:
        found = trial.of_object(entity_type, document)
    else:
        found = trial.of_record(entity_type, document)
    body = found.get("body")
    return ShownOnce(
        "dialogs/trial.html",
        {
            "name": visit.part("name"),
            "back": _back(visit),
            "again": str(visit.request.rel_url),
            "document_there": _pretty(found["document"]),
            "body": None if body is None else _pretty(body),
            "record": _pretty(found["record"]),
            "not_seen": found["not_seen"],
            "travels": found["travels"],
        },
    )


def _trial(visit: Visit) -> ProfileTrial:
    return visit.services.operations.profile_trial(visit.part("name"))


def _back(visit: Visit) -> str:
    return f"{ROOT}/connections/{visit.part('name')}"


def _parse(text: str) -> dict[str, Any]:
    try:
        found = bodies.parse(text.encode())
    except SchemaViolation:
        raise
    except InvalidInput:
        raise InvalidInput("the document is not JSON") from None
    if not isinstance(found, dict):
        raise InvalidInput("the document is not a JSON object")
    _BOUNDS.check(found, text.encode())
    return found


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2, default=dict).decode()


ACTION = Action("/connections/{name}/test", preview, run, "/connections")
