"""Records: the search, and one record with its fields, its systems and its history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zenskar.console.page import (
    ROOT,
    Action,
    ActionField,
    ConsolePage,
    Done,
    Preview,
    ShownOnce,
    Visit,
)
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import NotFound
from zenskar.ids import is_id
from zenskar.model.fields import CUSTOMER, SHAPES
from zenskar.model.operator_action import ActionKind
from zenskar.model.scope import Scope
from zenskar.ops.audit import AuditEntry
from zenskar.ops.explain import explainer, words
from zenskar.ops.explain.hiding import HIDDEN, hidden
from zenskar.ops.explain.model import Explanation, HistoryStep, SystemSnapshot

SECTION = "/records"
_ADDRESS = f"{SECTION}/{{entity}}/{{id}}"
_PAGE, _MOST_EVENTS = 25, 50
_ALL = ""
_DEEPEST = 6


@dataclass(frozen=True, slots=True)
class FieldRow:
    """A field: its value here, its origin, and its value at each system, None without an object.

    The value of a system is a pair: the text, and whether it equals the value here.
    """

    name: str
    value: str
    origin: str
    there: Sequence[tuple[str, bool] | None]


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """A step of the history in words, and how deep it is below its first cause."""

    step: HistoryStep
    title: str
    details: Sequence[str]
    depth: int


async def search(visit: Visit) -> Mapping[str, Any]:
    """Return the records that match the search, or the newest records."""
    services, wanted = visit.services, visit.filter("q")
    common: dict[str, Any] = {"q": wanted or "", "entity": CUSTOMER.entity_type}
    if wanted is not None:
        matches = await explainer.find(services.engine, wanted)
        rows: list[dict[str, Any]] = [
            {"id": m.id, "deleted_at": m.deleted_at, "links": m.external_ids, **_label(visit, m)}
            for m in matches
        ]
        return {**common, "found": rows, "next": None, "first": None}
    page = await services.customers.list(most=_PAGE, before=visit.before)
    found = [
        {
            "id": view["id"],
            "deleted_at": None,
            "links": [_link(link) for link in view["external"] if link["external_id"]],
            "name": _shown(visit, view["name"]),
            "email": _shown(visit, view["email"]),
        }
        for view in page.views
    ]
    return {**common, "found": found, **visit.other_pages(page.last_id)}


async def read(visit: Visit) -> Mapping[str, Any]:
    """Return the data of one record. Raises `NotFound`."""
    return await _data(visit, reveals=_reveals(visit))


async def _data(visit: Visit, *, reveals: bool) -> Mapping[str, Any]:
    entity_type, record_id = record_of(visit)
    found = await explainer.explain(visit.services.engine, record_id, most_events=_MOST_EVENTS)
    shown = found if reveals else hidden(found)
    known = visit.services.router.owners_of(entity_type)
    return {
        "entity": entity_type,
        "found": shown,
        "reveals": reveals,
        "systems": shown.systems,
        "rows": _rows(shown),
        "timeline": _timeline(shown),
        "waiting": shown.unfinished,
        "connections": known,
    }


def _rows(found: Explanation) -> list[FieldRow]:
    """Return the fields of the record and of its objects, side by side."""
    origins = {each.path: words.origin(each) for each in found.provenance}
    paths = dict.fromkeys(found.fields)
    for system in found.systems:
        paths |= dict.fromkeys(system.base)
    return [
        FieldRow(
            words.name_of(path),
            _text(found.fields.get(path)),
            origins.get(path, ""),
            [_there(system, path, found) for system in found.systems],
        )
        for path in sorted(paths)
    ]


def _there(system: SystemSnapshot, path: str, found: Explanation) -> tuple[str, bool] | None:
    if system.external_id is None or (path not in system.base and path not in found.fields):
        return None
    differs = any(diff.path == path for diff in system.differences)
    if path not in system.base and not differs:
        return None
    return _text(system.base.get(path)), not differs


def _text(value: Any) -> str:
    return value if isinstance(value, str) else words.value_text(value)


def _timeline(found: Explanation) -> list[TimelineEntry]:
    """Return the steps, newest first: an operator asks for the last step."""
    depths: dict[int, int] = {}
    for step in found.steps:
        depths[step.number] = 0 if step.cause is None else depths.get(step.cause, -1) + 1
    return [
        TimelineEntry(
            step, words.title(step), tuple(words.details(step)), min(depths[step.number], _DEEPEST)
        )
        for step in reversed(found.steps)
    ]


def record_of(visit: Visit) -> tuple[str, str]:
    """Return the entity type and the id of the record in the address. Raises `NotFound`."""
    entity_type, record_id = visit.part("entity"), visit.part("id")
    if entity_type not in SHAPES or not is_id(record_id):
        raise NotFound("there is no record at this address")
    return entity_type, record_id.lower()


def _reveals(visit: Visit) -> bool:
    """Return whether values are shown: to the person at this machine, else on request only."""
    return visit.operator.key_id is None


def _shown(visit: Visit, value: Any) -> str:
    return "" if value is None else str(value) if _reveals(visit) else HIDDEN


def _label(visit: Visit, match: Any) -> dict[str, str]:
    return {"name": _shown(visit, match.name), "email": _shown(visit, match.email)}


def _link(link: Mapping[str, Any]) -> str:
    return f"{link['source_system']}:{link['external_id']}"


async def preview_reveal(visit: Visit) -> Preview:
    """Name the data."""
    entity_type, record_id = record_of(visit)
    return Preview(
        f"Show the values of this {entity_type}?",
        "The page shows its personal data, now and in its history. The audit names you.",
        "Show values",
        f"{ROOT}{SECTION}/{entity_type}/{record_id}",
    )


async def reveal(visit: Visit) -> ShownOnce:
    """Show one record with its values, and write that to the audit."""
    _, record_id = record_of(visit)
    entry = AuditEntry(ActionKind.REVEAL, visit.actor, record_id)
    data = await _data(visit, reveals=True)
    await in_transaction(visit.services.engine, entry.write)
    return ShownOnce("record.html", data)


async def preview_fetch(visit: Visit) -> Preview:
    """Name the connections with an object."""
    return await _request(
        visit,
        "Fetch now?",
        "Workers read the object in the external system and apply the present state.",
        "Fetch",
    )


async def preview_push(visit: Visit) -> Preview:
    """Name the connections."""
    return await _request(
        visit,
        "Push now?",
        "Workers compare the record with its object. A push is sent only for a difference.",
        "Push",
    )


async def _request(visit: Visit, title: str, text: str, confirm: str) -> Preview:
    entity_type, record_id = record_of(visit)
    found = await explainer.explain(visit.services.engine, record_id, most_events=1)
    linked = {system.source_system for system in found.systems if system.external_id}
    pushes = confirm == "Push"
    sources = visit.services.router.owners_of(entity_type) if pushes else sorted(linked)
    choices = [(_ALL, f"all {len(sources)}"), *((name, name) for name in sources)]
    return Preview(
        title,
        text,
        confirm,
        address_of(visit),
        counts=[("Record", f"{entity_type} {record_id}"), ("Version", str(found.version))],
        fields=[ActionField("connection", "Connection", choices=choices)],
        refusal="" if sources else "The record has no object at any connection.",
    )


async def fetch(visit: Visit) -> Done:
    """Request the fetch."""
    entity_type, record_id = record_of(visit)
    prompter = visit.services.operations.prompter()
    sources = await prompter.fetch(entity_type, record_id, _chosen(visit), visit.actor)
    return Done(f"A fetch was requested at {', '.join(sources)}.", address_of(visit))


async def push(visit: Visit) -> Done:
    """Request the push."""
    entity_type, record_id = record_of(visit)
    prompter = visit.services.operations.prompter()
    sources = await prompter.push(entity_type, record_id, _chosen(visit), visit.actor)
    return Done(f"A push was requested at {', '.join(sources)}.", address_of(visit))


def _chosen(visit: Visit) -> str | None:
    return visit.form.get("connection") or None


def address_of(visit: Visit) -> str:
    """Return the address of the page of a record."""
    return f"{ROOT}{SECTION}/{visit.part('entity')}/{visit.part('id')}"


PAGES = (
    ConsolePage(SECTION, "records.html", search, menu="Records", icon="records"),
    ConsolePage(_ADDRESS, "record.html", read, section=SECTION, live=True),
)
ACTIONS = (
    Action(f"{_ADDRESS}/fetch", preview_fetch, fetch, SECTION),
    Action(f"{_ADDRESS}/push", preview_push, push, SECTION),
    Action(f"{_ADDRESS}/reveal", preview_reveal, reveal, SECTION, Scope.ADMIN),
)
