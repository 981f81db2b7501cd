"""Moves from outside: edits and deletes on both sides, lost answers, the clock."""

import itertools
from collections.abc import Iterator
from typing import Any

from tests.kernel.external import External
from tests.kernel.shell import Shell, detach, settle, want_fetch
from tests.kernel.world import (
    FIRST_EXTERNAL,
    FIRST_INTERNAL,
    GONE,
    NOT_ANSWERED,
    Bounds,
    Call,
    Move,
    Origins,
    World,
    active_map,
    bit,
    call_name,
    without,
)
from zenskar.kernel import ConflictPolicy, StepKind
from zenskar.model.record import IntentState


class Outside:
    """The moves that a budget bounds."""

    def __init__(self, bounds: Bounds, shell: Shell, external: External) -> None:
        self._bounds = bounds
        self._shell = shell
        self._external = external

    def edits(self, world: World) -> Iterator[Move]:
        budget = world.budget
        if budget.internal:
            value = FIRST_INTERNAL + budget.internal - 1
            spent = world._replace(budget=budget._replace(internal=budget.internal - 1))
            for rid, record in enumerate(world.records):
                for field in () if record.deleted else self._bounds.internal_fields:
                    for new in self._values(record.fields, field, value):
                        name = f"record {rid} field {field} := {new}"
                        yield name, self._edit_inside(spent, rid, field, new)
        if budget.external:
            value = FIRST_EXTERNAL + budget.external - 1
            spent = world._replace(budget=budget._replace(external=budget.external - 1))
            for eid, held in enumerate(world.objects):
                for field in () if held.fields == GONE else self._bounds.external_fields:
                    news = self._values(held.fields, field, value)
                    for new in (*news, *self._ours(world, eid, field)):
                        name = f"object {eid} field {field} := {new}"
                        yield name, self._edit_outside(spent, eid, field, new)

    def _values(self, fields: Any, field: int, value: int) -> tuple[int, ...]:
        """Return the values that an edit may write: a new one, or also the first one."""
        first = field + 1
        return (value, first) if self._bounds.again and fields[field] != first else (value,)

    def _ours(self, world: World, eid: int, field: int) -> list[int]:
        """Return the values that were ours once.

        Without reported origins, a change back to the base between two observations is invisible.
        """
        if not self._bounds.returns:
            return []
        known = next((m.base[field] for m in world.maps if m.eid == eid), 0)
        told = self._bounds.origins is Origins.TOLD
        other = {world.objects[eid].fields[field], 0 if told else known}
        unsure = {i.changes[field] for i in world.intents if i.state in _OPEN}
        ours = range(FIRST_INTERNAL, FIRST_EXTERNAL)
        return [v for v in ours if v not in other and (v in unsure or (world.old & bit(v)))]

    def _edit_inside(self, world: World, rid: int, field: int, value: int) -> World:
        record = world.records[rid]
        before = record.fields[field]
        updated = world.now if self._bounds.policy is ConflictPolicy.LATEST_WINS else 0
        changed = record._replace(fields=_with(record.fields, field, value), updated=updated)
        return world._replace(
            records=_with(world.records, rid, changed),
            waiting=world.waiting | 1 << rid,
            slack=world.slack + 1,
            owed=(world.owed & ~bit(before)) | bit(value),
            old=world.old | bit(before),
            due=0,
            newest=value if self._bounds.dated else 0,
        )

    def _edit_outside(self, world: World, eid: int, field: int, value: int) -> World:
        fields = world.objects[eid].fields
        before = fields[field]
        theirs, quiet = before >= FIRST_EXTERNAL, _quiet(world, eid)
        world = self._external.put(world, eid, _with(fields, field, value), 0)
        return world._replace(
            slack=world.slack + 1,
            owed=(world.owed & ~bit(before)) | bit(value),
            old=world.old | (bit(before) if theirs else 0),
            back=world.back | (bit(value) if value < FIRST_EXTERNAL else 0),
            due=value if quiet and value < FIRST_EXTERNAL else 0,
            newest=0,
        )

    def deletes(self, world: World) -> Iterator[Move]:
        budget = world.budget
        if budget.internal_deletes:
            spent = budget._replace(internal_deletes=budget.internal_deletes - 1)
            for rid, record in enumerate(world.records):
                if not record.deleted:
                    records = _with(world.records, rid, record._replace(deleted=True))
                    yield (
                        f"record {rid} is deleted",
                        world._replace(
                            budget=spent,
                            records=records,
                            waiting=world.waiting | 1 << rid,
                            slack=world.slack + 1,
                        ),
                    )
        if budget.external_deletes:
            spent = budget._replace(external_deletes=budget.external_deletes - 1)
            for eid, held in enumerate(world.objects):
                if held.fields != GONE:
                    gone = self._external.put(world._replace(budget=spent), eid, GONE, 0)
                    yield f"object {eid} is deleted", gone._replace(slack=world.slack + 1)

    def restores(self, world: World) -> Iterator[Move]:
        """Yield the restores of a deleted object, there and by another connection."""
        budget = world.budget
        if budget.restores:
            spent = budget._replace(restores=budget.restores - 1)
            for eid, held in enumerate(world.objects):
                if held.fields == GONE and held.kept != GONE:
                    back = self._external.put(world._replace(budget=spent), eid, held.kept, 0)
                    yield (
                        f"object {eid} is restored",
                        back._replace(slack=world.slack + 1, restored=world.restored | 1 << eid),
                    )
        if budget.undeletes:
            spent = budget._replace(undeletes=budget.undeletes - 1)
            for rid, record in enumerate(world.records):
                if record.deleted:
                    yield (
                        f"record {rid} returns by another connection",
                        self._undelete(world._replace(budget=spent), rid),
                    )

    def _undelete(self, world: World, rid: int) -> World:
        """Undelete a record, and request a look at its former object, as a unit of work does."""
        known = active_map(world, rid)
        if known is not None and not known.active:
            world = want_fetch(world, known)
        records = _with(world.records, rid, world.records[rid]._replace(deleted=False))
        return world._replace(
            records=records, waiting=world.waiting | 1 << rid, slack=world.slack + 2
        )

    def merges(self, world: World) -> Iterator[Move]:
        """Yield the merges of an object into another one, by a person."""
        if not world.budget.merges:
            return
        spent = world._replace(budget=world.budget._replace(merges=world.budget.merges - 1))
        living = [eid for eid, held in enumerate(world.objects) if held.fields != GONE]
        for eid, successor in itertools.permutations(living, 2):
            lost, kept = (_bits(world.objects[each].fields) for each in (eid, successor))
            merged = self._external.put(spent, eid, GONE, 0, merged=successor)
            yield (
                f"object {eid} is merged into object {successor}",
                merged._replace(
                    slack=world.slack + 2,
                    owed=world.owed & ~lost,
                    back=world.back | kept,
                    due=0,
                    newest=0,
                ),
            )

    def clones(self, world: World) -> Iterator[Move]:
        """Yield the copies of an object that a person makes, with our id."""
        if not world.budget.clones:
            return
        spent = world._replace(budget=world.budget._replace(clones=world.budget.clones - 1))
        for eid, held in enumerate(world.objects):
            if held.fields != GONE:
                objects = (*world.objects, held._replace(ours=False))
                copied = spent._replace(objects=objects)
                yield (
                    f"object {eid} is copied",
                    self._external.put(copied, len(world.objects), held.fields, 0),
                )

    def releases(self, world: World) -> Iterator[Move]:
        """Yield the release of a record's object by an operator, so that a new one is created.

        A former object that waits for its fetch may be hidden, so it is released, too.
        """
        if not world.budget.releases:
            return
        spent = world._replace(budget=world.budget._replace(releases=world.budget.releases - 1))
        for rid, record in enumerate(world.records):
            known = active_map(world, rid)
            if not record.deleted and known is not None and (known.active or known.fetch):
                released = detach(spent, known)
                yield (
                    f"the object of record {rid} is let go of",
                    released._replace(waiting=released.waiting | 1 << rid, slack=world.slack + 1),
                )

    def faults(self, world: World) -> Iterator[Move]:
        budget = world.budget
        if budget.faults:
            spent = world._replace(
                budget=budget._replace(faults=budget.faults - 1), slack=world.slack + 1
            )
            for call in world.calls:
                if call.live:
                    yield from self._lost(spent, call)
        if budget.forgets and world.cache and not any(_creates(c) for c in world.calls):
            intents = tuple(i._replace(alive=False) for i in world.intents)
            spent = world._replace(budget=budget._replace(forgets=budget.forgets - 1))
            yield "keys are forgotten", spent._replace(cache=(), intents=intents)
        if budget.lifetimes and not world.calls:
            spent = world._replace(budget=budget._replace(lifetimes=budget.lifetimes - 1))
            yield "no old request arrives any more", _aged(spent)

    def _lost(self, world: World, call: Call) -> Iterator[Move]:
        """The ways in which a worker can go without its answer."""
        rest, name = without(world, call), call_name(call)
        pushes = call.step not in {StepKind.FETCH, StepKind.FIND}
        fates = [("no answer to", rest)]
        if call.answer == NOT_ANSWERED and pushes:
            zombie = call._replace(live=False)
            fates = [("no answer yet to", rest._replace(calls=(*rest.calls, zombie)))]
            fates.append(("never arrives:", rest))
        for fate, after in fates:
            if call.look:
                yield f"{fate} {name}", after._replace(looks=after.looks | 1 << call.eid)
                continue
            waiting = after._replace(waiting=after.waiting | 1 << call.rid)
            if not pushes:
                yield f"{fate} {name}", waiting
                continue
            state = IntentState.UNKNOWN
            yield f"{fate} {name}", self._shell.lose(waiting, call.rid, call.kid, state)
            if self._bounds.crash:
                yield f"{fate} {name}, crash", settle(waiting, (call.kid,), state)
        if self._bounds.overlap and pushes:
            held = settle(world, (call.kid,), IntentState.UNKNOWN)
            yield f"lease of {name} runs out", held._replace(waiting=held.waiting | 1 << call.rid)


_OPEN = frozenset({IntentState.SENT, IntentState.UNKNOWN})


def _bits(fields: Any) -> int:
    return sum({bit(value) for value in fields})


def _quiet(world: World, eid: int) -> bool:
    """Whether both sides are equal and nothing is under way."""
    busy = world.waiting or world.calls or world.hooks
    held = world.objects[eid]
    known = next((m for m in world.maps if m.eid == eid), None)
    if busy or known is None or known.fetch or known.rid < 0:
        return False
    record = world.records[known.rid]
    return bool(record.fields == held.fields == known.base and not record.deleted)


def _aged(world: World) -> World:
    """Advance the time until lost requests are too old to arrive."""
    return world._replace(intents=tuple(i._replace(arrives=False) for i in world.intents))


def _creates(call: Call) -> bool:
    return call.step in {StepKind.CREATE, StepKind.RESEND}


def _with(items: Any, place: int, item: Any) -> Any:
    return (*items[:place], item, *items[place + 1 :])
