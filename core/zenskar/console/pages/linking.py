"""Link an external object with a record: ask for both, show the effect, and link."""

from collections.abc import Mapping
from types import MappingProxyType

from zenskar.api.http.clients import client_address
from zenskar.api.http.problems import problem_of
from zenskar.console.page import ROOT, Action, ActionField, Done, Preview, Visit
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import InvalidInput, StateConflict, Unavailable, ZenskarError
from zenskar.ids import is_id
from zenskar.model.actor import Actor
from zenskar.model.scope import Scope
from zenskar.ops import events
from zenskar.ops.link import ObjectLink
from zenskar.sync.reconcile.field_fate import FieldFate

_SECONDS = 20.0
"""A preview fetches the object."""
_WAIT_SECONDS = 10.0
"""An operator waits for the workers; a repeat completes a link that takes longer."""
_OBJECT, _RECORD, _ENTITY, _EVENT = "external_id", "record_id", "entity", "event"
_FATES: Mapping[FieldFate, str] = MappingProxyType(
    {
        FieldFate.HERE: "the record takes the value of the object",
        FieldFate.THERE: "the object gets the value of the record",
        FieldFate.HERE_WINS: "both have a value, and the one of the record wins",
        FieldFate.THERE_WINS: "both have a value, and the one of the object wins",
    }
)


async def preview(visit: Visit) -> Preview:
    """Ask for the object and the record, or show the effect of their link on each field."""
    name = visit.part("name")
    visit.services.router.owner(name)
    if _RECORD not in visit.request.query:
        return await _ask(visit)
    try:
        planned = await _link(visit, dry_run=True)
    except Unavailable:
        raise
    except ZenskarError as error:
        return await _ask(visit, problem_of(error).detail)
    record = "a new one" if planned.creates_record else planned.record_id
    text = "The object is fetched again, and both sides are merged like every change."
    if planned.outside:
        text = "The filter of the connection excludes the record: nothing travels until it passes."
    return Preview(
        f"Link this object of {name}?",
        text,
        "Link",
        _back(visit),
        counts=[
            ("Object", planned.external_id),
            ("Record", record),
            ("Fields that differ", f"{len(planned.fields):,}"),
            ("Dead letters that end", f"{planned.dead_letters:,}"),
        ],
        details=[f"{field}: {_FATES[fate]}" for field, fate in planned.fields.items()],
        kept={"effect": _effect(planned)},
        dangerous=True,
    )


async def run(visit: Visit) -> Done:
    """Link the object; refuse when the effect differs from the preview."""
    by = visit.actor
    if visit.form.get("effect") != _effect(await _link(visit, dry_run=True)):
        raise StateConflict("a side has changed, and with it the effect: look again")
    done = await _link(visit, by)
    entity, record = _entity(visit), done.record_id
    text = f"{done.external_id} is linked. Dead letters that ended: {done.dead_letters:,}."
    return Done(text, f"{ROOT}/records/{entity}/{record}")


async def _ask(visit: Visit, problem: str = "") -> Preview:
    name = visit.part("name")
    entities = visit.services.router.owner(name).entities
    return Preview(
        f"Link an object of {name}",
        "For an object that has no record yet, or that matches several records. The effect is "
        "shown first.",
        "Show the effect",
        _back(visit),
        details=await _doubt(visit),
        fields=[
            ActionField(_ENTITY, "Entity type", choices=[(each, each) for each in entities]),
            ActionField(_OBJECT, f"Id of the object at {name}", visit.filter(_OBJECT) or ""),
            ActionField(
                _RECORD,
                "Id of the record",
                visit.filter(_RECORD) or "",
                "Leave it empty to create a record for the object.",
                required=False,
            ),
        ],
        asks=True,
        problem=problem,
    )


async def _doubt(visit: Visit) -> list[str]:
    """Return the problem of the dead letter that asks for the link: it names the records."""
    event_id = visit.filter(_EVENT)
    if event_id is None or not is_id(event_id):
        return []
    found = await in_transaction(
        visit.services.engine, lambda c: events.show(c, event_id, reveal=False)
    )
    return [found.event.error_message] if found.event.error_message else []


async def _link(visit: Visit, by: Actor | None = None, *, dry_run: bool = False) -> ObjectLink:
    external_id, record_id = visit.filter(_OBJECT), visit.filter(_RECORD)
    if external_id is None:
        raise InvalidInput("the id of the object is needed")
    if record_id is not None and not is_id(record_id):
        raise InvalidInput("the id of the record must be a uuid")
    linker = visit.services.operations.object_linker(wait_seconds=_WAIT_SECONDS)
    return await linker.link(
        visit.part("name"),
        _entity(visit),
        external_id,
        record_id and record_id.lower(),
        by or Actor(visit.operator.name, client_address(visit.request)),
        dry_run=dry_run,
    )


def _entity(visit: Visit) -> str:
    entities = visit.services.router.owner(visit.part("name")).entities
    entity_type = visit.filter(_ENTITY) or entities[0]
    if entity_type not in entities:
        raise InvalidInput("entity: must be one of the choices")
    return entity_type


def _effect(link: ObjectLink) -> str:
    """Return the effect as a text, to compare it with another."""
    fields = " ".join(f"{name}={fate.value}" for name, fate in link.fields.items())
    return f"{'outside' if link.outside else 'inside'} {fields}"


def _back(visit: Visit) -> str:
    return f"{ROOT}/connections/{visit.part('name')}"


ACTION = Action("/connections/{name}/link", preview, run, "/connections", Scope.ADMIN, _SECONDS)
