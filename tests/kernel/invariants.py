"""Invariants of every world, and of a world at rest."""

from collections.abc import Iterator
from typing import Any

from tests.kernel.external import last_successor
from tests.kernel.shell import Shell
from tests.kernel.world import (
    FIRST_EXTERNAL,
    GONE,
    Bounds,
    Map,
    World,
    active_map,
    bit,
    is_outside,
)
from zenskar.kernel import StepKind
from zenskar.model.record import IntentState


def always(world: World) -> str:
    """Return the broken invariants of a world."""
    if world.broken:
        return world.broken
    if world.slack < 0:
        return "more pushes than edits, conflicts and faults account for"
    owners = [m.rid for m in world.maps if m.active]
    if len(owners) != len(set(owners)):
        return "a record has two live mappings"
    made = [o.tag for o in world.objects if o.ours and o.fields != GONE]
    if len(made) != len(set(made)):
        return "a record has two external objects"
    return ""


def at_rest(bounds: Bounds, shell: Shell, world: World) -> str:
    """Return the broken invariants of a world at rest."""
    for rid, record in enumerate(world.records):
        if world.refused >> rid & 1 and active_map(world, rid) is None:
            continue
        step = shell.plan(world, rid)[0]
        if step is not StepKind.NOTHING:
            return f"record {rid} waits for {step.value} and nobody does it"
        if is_outside(bounds, record.fields) and not record.deleted:
            world = _left_alone(world, rid)
            continue
        problem = _unequal(bounds, world, rid) or _erased(bounds, world, rid)
        problem = problem or _pushing(world, rid) or _unapplied(bounds, world, rid)
        if problem:
            return f"record {rid} {problem}"
        if not record.deleted:
            present = bit(record.fields[0]) | bit(record.fields[1])
            world = world._replace(owed=world.owed & ~present)
            if bounds.traceable and present & world.old & ~world.back:
                return f"record {rid} holds a value that its own side had overwritten"
    if bounds.traceable and world.owed and not _deleted(world):
        return f"the update {world.owed.bit_length() - 1} is lost without a trace"
    return _reverted(world) or _strays(bounds, world) or _twice(bounds, world)


def _left_alone(world: World, rid: int) -> World:
    """Both sides keep what they have, so that no update is lost."""
    known = active_map(world, rid)
    kept = [
        world.records[rid].fields,
        *([] if known is None else [world.objects[known.eid].fields]),
    ]
    present = sum({bit(value) for fields in kept for value in fields})
    return world._replace(owed=world.owed & ~present)


def _twice(bounds: Bounds, world: World) -> str:
    """No two records hold the value by which objects and records are matched."""
    values = [r.fields[0] for r in world.records if bounds.matches and not r.deleted]
    return "a person has two records" if len(values) > len(set(values)) else ""


def _reverted(world: World) -> str:
    """An edit without a competing one is applied, and so is the later edit where it wins."""
    held = {value for record in world.records for value in record.fields}
    if _deleted(world):
        return ""
    if world.due and world.due not in held:
        return f"the edit back to {world.due} is reverted"
    if world.newest and world.newest not in held:
        return f"the edit to {world.newest} here lost to an earlier edit there"
    return ""


def _deleted(world: World) -> bool:
    """Whether there was a delete, which wins over every edit."""
    return any(r.deleted for r in world.records) or any(o.fields == GONE for o in world.objects)


def _unequal(bounds: Bounds, world: World, rid: int) -> str:
    record, known = world.records[rid], active_map(world, rid)
    if known is None:
        return "" if record.deleted else "has no external object"
    held = world.objects[known.eid]
    if known.active:
        if record.deleted:
            return "is deleted and still mapped"
        equal = _held(bounds, held.fields) == _held(bounds, record.fields)
        return "" if equal else "is not equal to its external object"
    if not record.deleted:
        return _merged(world, rid, known)
    return _ended(bounds, world, known)


def _ended(bounds: Bounds, world: World, known: Map) -> str:
    """A deleted record was deleted by someone, and has no living object."""
    held = world.objects[known.eid]
    if not _is_deleted_by_anyone(bounds, world):
        return "is deleted by nobody"
    left = known.detached and not (bounds.propagate and held.ours)
    deleted_here = bounds.start.budget.internal_deletes > world.budget.internal_deletes
    left = left or bool(world.restored >> known.eid & 1 and deleted_here)
    left = left or bool(known.fetch) or is_outside(bounds, world.records[known.rid].fields)
    if held.fields != GONE and not left:
        return "is deleted and its external object lives"
    return ""


def _merged(world: World, rid: int, known: Map) -> str:
    """Only a record whose object was merged into the object of another record has none."""
    if known.merged < 0:
        return "lives and its external object is gone"
    last = last_successor(world, known.eid)
    owner = next((m.rid for m in world.maps if m.eid == last), -1)
    free = world.objects[last].fields != GONE and owner in {-1, rid}
    return "does not follow its object" if free else ""


def _is_deleted_by_anyone(bounds: Bounds, world: World) -> bool:
    first, left = bounds.start.budget, world.budget
    here = first.internal_deletes > left.internal_deletes
    return here or first.external_deletes > left.external_deletes


def _held(bounds: Bounds, fields: Any) -> Any:
    return fields and tuple(fields[place] for place in bounds.holds)


def _erased(bounds: Bounds, world: World, rid: int) -> str:
    """No edit empties a field, so a field with a value keeps one."""
    if rid >= len(bounds.start.records):
        return ""
    first, last = bounds.start.records[rid].fields, world.records[rid].fields
    lost = [p for p, value in enumerate(last) if first[p] and not value]
    return f"lost field {lost[0]}, which nobody emptied" if lost else ""


def _unapplied(bounds: Bounds, world: World, rid: int) -> str:
    """The last edit there is applied, if nobody edits its field here."""
    field, *more = bounds.external_fields
    opposed = bool(more) or field in bounds.internal_fields or field not in bounds.holds
    if opposed or not bounds.traceable or bounds.returns or len(world.objects) > 1:
        return ""
    record, left = world.records[rid], world.budget.external
    edited = bounds.start.budget.external > left
    value = FIRST_EXTERNAL + left
    alone = record.deleted or world.objects[0].fields == GONE or not edited
    return "" if alone or record.fields[field] == value else f"does not hold the edit to {value}"


def _pushing(world: World, rid: int) -> str:
    """Every push is answered, or ends when no request of its age can arrive any more."""
    for intent in world.intents:
        if intent.rid == rid and intent.state is IntentState.SENT:
            return f"waits for the push k{intent.kid}, which nobody holds"
        old = intent.state is IntentState.UNKNOWN and not intent.arrives
        known = active_map(world, rid)
        if intent.rid == rid and old and known and known.active:
            return f"has the push k{intent.kid}, which never ends"
    return ""


def _strays(bounds: Bounds, world: World) -> str:
    """Every live external object has a record, or names a record with another object.

    An object that the filter excludes has none.
    """
    known = {m.eid: m for m in world.maps}
    for eid, held in enumerate(world.objects):
        mapping: Map | None = known.get(eid)
        if held.fields == GONE or mapping is not None or is_outside(bounds, held.fields):
            continue
        rival = active_map(world, held.tag) if held.tag >= 0 else None
        if rival is None or eid in survivors(world):
            return f"object {eid} is nobody's"
    return ""


def survivors(world: World) -> Iterator[int]:
    """Yield the objects that outlive the record whose id they carry."""
    known = {m.eid for m in world.maps}
    for eid, held in enumerate(world.objects):
        if eid in known or held.ours or held.fields == GONE or held.tag < 0:
            continue
        rival = active_map(world, held.tag)
        if world.records[held.tag].deleted and rival is not None and not rival.active:
            yield eid
