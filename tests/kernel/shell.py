"""A small copy of the shell that `zenskar.sync` puts around the kernel: load, decide, store.

`UnitOfWork.observe`, `lose`, `detach` and `plan` are mirrored on tuples. Their decisions come from
the real kernel, which is asked each question once.
"""

from dataclasses import replace
from typing import Any, NamedTuple

from tests.kernel.world import (
    GONE,
    Bounds,
    Map,
    Origins,
    Rec,
    Sent,
    World,
    active_map,
    bit,
    is_outside,
)
from zenskar import kernel
from zenskar.kernel import Candidate, MergePolicy, Outcome, Situation, Step, StepKind, Verdict
from zenskar.model.fields import apply, name_of
from zenskar.model.interval import Interval
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import (
    ExternalMapping,
    Intent,
    IntentKind,
    IntentState,
    MappingState,
    Record,
)

PATHS = ("/f", "/g")
_OPEN = frozenset({IntentState.SENT, IntentState.UNKNOWN})


class Seen(NamedTuple):
    """An observation."""

    kind: ObservationKind
    eid: int
    low: int
    high: int
    fields: Any
    tag: int
    origin: int = 0
    rev: int = -1
    kid: int = 0
    replayed: bool = False
    sent: tuple[int, int] | None = None
    changed: int = 0
    changed_at: tuple[int, int] | None = None
    version: int = 0
    blank: bool = False
    merged: int = -1
    foreign: bool = False


class Told(NamedTuple):
    """The parts of a kernel's outcome that the world needs."""

    verdict: Verdict
    map: Map | None
    changes: tuple[int | None, int | None]
    creates: bool
    deletes: bool
    restores: bool
    look: int
    successor: Map | None
    shown: int
    disputed: int
    conflicts: int
    settled: tuple[int, ...]
    unconfirmed: tuple[int, ...]
    ended: tuple[int, ...]


class Shell:
    """Asks the kernel, and remembers its answers."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._policy = MergePolicy(bounds.policy, restores=bounds.restores)
        self._names_all = bounds.origins is Origins.TOLD
        self._propagate = bounds.propagate
        self._matches = bounds.matches
        self._shown = bounds.holds
        self._told = tuple(place for place in bounds.tells if place in bounds.holds)
        self._observed: dict[Any, Told] = {}
        self._planned: dict[Any, tuple[StepKind, Any, int]] = {}
        self._lost: dict[Any, tuple[Map | None, tuple[int, ...]]] = {}

    def observe(self, world: World, seen: Seen) -> tuple[World, int, Told]:
        """Observe an object; return its record, too (-1 for none)."""
        known = next((m for m in world.maps if m.eid == seen.eid), None)
        rid = known.rid if known is not None and known.rid >= 0 else seen.tag
        rid = rid if rid < len(world.records) else -1
        mine = active_map(world, rid) if rid >= 0 else None
        rival = mine if mine and mine.eid != seen.eid else None
        record = world.records[rid] if rid >= 0 else None
        intents = tuple(
            i for i in world.intents if i.rid == rid and (i.state in _OPEN or i.kid == seen.origin)
        )
        successor = None
        if seen.merged >= 0:
            last = _last_successor(world, seen)
            seen = seen._replace(merged=last)
            successor = next((m for m in world.maps if m.eid == last), None)
        unnamed = self._matches and known is None and rid < 0 and seen.fields != GONE
        found = self._candidates(world) if unnamed else ()
        question = (rid, record, known, intents, rival, successor, found, seen, len(world.records))
        told = self._observed.get(question)
        if told is None:
            told = self._observed[question] = self._ask(question)
        world, rid = _stored(world, rid, told)
        if told.look >= 0:
            world = world._replace(looks=world.looks | 1 << told.look)
        if told.disputed & bit(world.due) and not self._names_all:
            world = world._replace(due=0)
        world = settle(world, told.unconfirmed, IntentState.UNKNOWN)
        world = settle(world, told.ended, IntentState.ENDED)
        return settle(world, told.settled, IntentState.ANSWERED), rid, told

    def _candidates(self, world: World) -> tuple[tuple[int, Rec, bool], ...]:
        """Return the living records, as `UnitOfWork` does with those of an equal value."""
        making = {i.rid for i in world.intents if i.state in _OPEN and i.kind is IntentKind.CREATE}
        return tuple(
            (rid, record, active_map(world, rid) is None and rid not in making)
            for rid, record in enumerate(world.records)
            if not record.deleted
        )

    def plan(self, world: World, rid: int) -> tuple[StepKind, Any, int]:
        """Return the next step for a record: kind, changes, intent."""
        question = (rid, world.records[rid], active_map(world, rid), _open_of(world, rid))
        step = self._planned.get(question)
        if step is None:
            step = self._planned[question] = _step(self._plan(_situation(*question), rid, world))
        return step

    def _plan(self, situation: Situation, rid: int, world: World) -> Step:
        if is_outside(self._bounds, world.records[rid].fields):
            return kernel.plan_outside(situation)
        return kernel.plan(situation, propagate_deletes=self._propagate)

    def lose(self, world: World, rid: int, kid: int, state: IntentState) -> World:
        """Mark a push that has no answer, or an answer that cannot be trusted."""
        world = settle(world, (kid,), state)
        question = (rid, world.records[rid], active_map(world, rid), _open_of(world, rid))
        if (question, kid) not in self._lost:
            outcome = kernel.lost(_situation(*question), str(kid))
            known = None if outcome.mapping is None else _map(outcome.mapping)
            self._lost[question, kid] = known, tuple(map(int, outcome.ended))
        changed, ended = self._lost[question, kid]
        world = settle(world, ended, IntentState.ENDED)
        return world if changed is None else _with_map(world, changed)

    def _ask(self, question: Any) -> Told:
        rid, record, known, intents, rival, successor, found, seen, new = question
        situation = _situation(rid, record, known, intents, rival)
        if successor is not None:
            situation = replace(situation, successor=_mapping(successor))
        if found:
            candidates = tuple(Candidate(_record(*one), free) for *one, free in found)
            situation = replace(situation, candidates=candidates, match_by=("f",))
        outcome = self._decide(situation, self._observation(seen), str(new))
        shown = 0
        for values in (outcome.record_changes, outcome.seen_changes):
            for value in values.values():
                shown |= bit(value or 0)
        for conflict in outcome.conflicts:
            shown |= bit(conflict.internal or 0) | bit(conflict.external or 0)
        return Told(
            outcome.verdict,
            None if outcome.mapping is None else _map(outcome.mapping),
            _changes(outcome.record_changes),
            outcome.create_record,
            outcome.delete_record,
            outcome.restore_record,
            -1 if outcome.look is None else int(outcome.look),
            None if outcome.successor is None else _map(outcome.successor),
            shown,
            sum({bit(conflict.external or 0) for conflict in outcome.conflicts}),
            len(outcome.conflicts),
            tuple(int(i) for i in outcome.settled),
            tuple(int(i) for i in outcome.unconfirmed),
            tuple(int(i) for i in outcome.ended),
        )

    def _decide(self, situation: Situation, news: Observation, new: str) -> Outcome:
        if not self._bounds.filtered:
            return kernel.observe(situation, news, self._policy, new_record_id=new)
        record = situation.record

        def passes(outcome: Outcome) -> bool:
            known = {} if record is None or outcome.create_record else record.fields
            fields = apply(known, outcome.record_changes)
            return not is_outside(self._bounds, tuple(fields.get(path, 0) for path in PATHS))

        return kernel.observe_filtered(situation, news, self._policy, passes, new_record_id=new)

    def _observation(self, seen: Seen) -> Observation:
        shown = self._told if seen.kind is ObservationKind.WEBHOOK else self._shown
        shown = () if seen.blank else shown
        paths = tuple(PATHS[place] for place in shown)
        fields = None if seen.fields == GONE else _fields(seen.fields)
        return Observation(
            kind=seen.kind,
            external_id=str(seen.eid),
            asof=Interval(seen.low, seen.high),
            fields=fields and {path: fields[path] for path in paths if path in fields},
            record_id=None if seen.tag < 0 else str(seen.tag),
            origin_key=str(seen.origin) if seen.origin else None,
            seen_revision=None if seen.rev < 0 else seen.rev,
            intent_id=str(seen.kid) if seen.kid else None,
            replayed=seen.replayed,
            sent=None if seen.sent is None else Interval(*seen.sent),
            changed_at=None if seen.changed_at is None else Interval(*seen.changed_at),
            version=str(seen.version) if seen.version else None,
            blank=seen.blank,
            foreign=seen.foreign,
            merged_into=str(seen.merged) if seen.merged >= 0 else None,
            changed=tuple(p for n, p in enumerate(PATHS) if seen.changed >> n & 1) or None,
            unseen=frozenset(map(name_of, PATHS)) if len(paths) < len(PATHS) else frozenset(),
            apart=frozenset(paths),
        )


def settle(world: World, kids: tuple[int, ...], state: IntentState) -> World:
    """Set the states of pushes; an answered push stays answered, as in `intents.set_state`."""
    if not kids:
        return world
    intents = tuple(
        i._replace(state=state) if i.kid in kids and i.state is not IntentState.ANSWERED else i
        for i in world.intents
    )
    return world._replace(intents=intents)


def want_fetch(world: World, known: Map) -> World:
    """Ask for a fetch."""
    return _with_map(world, known._replace(rev=known.rev + 1, fetch=known.rev + 1))


def detach(world: World, known: Map) -> World:
    """Release the object of a deleted record."""
    return _with_map(world, known._replace(active=False, detached=True, rev=known.rev + 1, fetch=0))


def leave(world: World, known: Map) -> World:
    """Release the object of a record that left the filter."""
    return _with_map(world, _map(kernel.released(_mapping(known))))


def merged(fields: Any, changes: tuple[int | None, int | None]) -> Any:
    """Return the fields with the changes made."""
    return tuple(old if new is None else new for old, new in zip(fields, changes, strict=True))


def _stored(world: World, rid: int, told: Told) -> tuple[World, int]:
    records, broken = world.records, world.broken
    if rid < 0 and told.map is not None and not told.creates:
        rid = told.map.rid
    if told.creates:
        rid = len(records)
        records = (*records, Rec(merged((0, 0), told.changes), updated=world.now))
    elif rid >= 0 and (told.deletes or told.restores or told.changes != (None, None)):
        record = records[rid]
        changed = record._replace(
            fields=merged(record.fields, told.changes),
            deleted=told.deletes or (record.deleted and not told.restores),
        )
        records = (*records[:rid], changed, *records[rid + 1 :])
    if told.creates:
        # A new record's first values were overwritten in no history of its own.
        world = world._replace(old=world.old & ~told.shown)
    world = world._replace(
        records=records,
        owed=world.owed & ~told.shown,
        slack=world.slack + told.conflicts,
        broken=broken,
    )
    if told.map is not None:
        world = _with_map(world, told.map)
        rid = told.map.rid if told.map.rid >= 0 else rid
    if told.successor is not None:
        world = _with_map(world, told.successor)
    return world, rid


def _last_successor(world: World, seen: Seen) -> int:
    """Return the last object of a chain of merges, as a unit of work does."""
    merged = {m.eid: m.merged for m in world.maps if m.merged >= 0}
    last = seen.merged
    while last in merged:
        last = merged[last]
    return last


def _with_map(world: World, changed: Map) -> World:
    others = [m for m in world.maps if m.eid != changed.eid]
    before = next((m for m in world.maps if m.eid == changed.eid), None)
    returned = world.restored >> changed.eid & 1 or (before is not None and before.fetch)
    if before is not None and changed.active and not before.active and not returned:
        world = world._replace(broken="a tombstone was revived")
    if before is not None and before.rid not in {-1, changed.rid}:
        world = world._replace(broken="an external object went to another record")
    return world._replace(maps=tuple(sorted([*others, changed])))


def _open_of(world: World, rid: int) -> tuple[Sent, ...]:
    return tuple(i for i in world.intents if i.rid == rid and i.state in _OPEN)


def _situation(
    rid: int,
    record: Rec | None,
    known: Map | None,
    intents: tuple[Sent, ...],
    rival: Map | None = None,
) -> Situation:
    return Situation(
        record=None if record is None else _record(rid, record),
        mapping=None if known is None else _mapping(known),
        intents=tuple(
            Intent(str(i.kid), i.kind, _patch(i.changes), i.rev, i.state, i.alive, i.arrives)
            for i in intents
        ),
        rival=None if rival is None else _mapping(rival),
    )


def _record(rid: int, record: Rec) -> Record:
    fields = _fields(record.fields)
    return Record(str(rid), fields, updated_at=record.updated, deleted=record.deleted)


def _mapping(known: Map) -> ExternalMapping:
    return ExternalMapping(
        external_id=str(known.eid),
        entity_id=None if known.rid < 0 else str(known.rid),
        base=_fields(known.base),
        asof=Interval(known.low, known.high),
        revision=known.rev,
        state=MappingState.ACTIVE if known.active else MappingState.DELETED,
        fetch_revision=known.fetch or None,
        detached=known.detached,
        version=str(known.version) if known.version else None,
        ended_record=known.ended,
        merged_into=str(known.merged) if known.merged >= 0 else None,
    )


def _map(mapping: ExternalMapping) -> Map:
    return Map(
        eid=int(mapping.external_id),
        rid=-1 if mapping.entity_id is None else int(mapping.entity_id),
        base=(mapping.base.get("/f", 0), mapping.base.get("/g", 0)),
        low=mapping.asof.low,
        high=mapping.asof.high,
        rev=mapping.revision,
        active=mapping.active,
        fetch=mapping.fetch_revision or 0,
        detached=mapping.detached,
        version=int(mapping.version or 0),
        ended=mapping.ended_record,
        merged=-1 if mapping.merged_into is None else int(mapping.merged_into),
    )


def _step(step: Step) -> tuple[StepKind, Any, int]:
    return step.kind, _changes(step.changes), int(step.intent.id) if step.intent else 0


def _fields(fields: Any) -> dict[str, int]:
    return {path: value for path, value in zip(PATHS, fields, strict=True) if value}


def _patch(changes: Any) -> dict[str, int | None]:
    return {p: v or None for p, v in zip(PATHS, changes, strict=True) if v is not None}


def _changes(patch: Any) -> tuple[int | None, int | None]:
    f, g = ((patch[p] or 0) if p in patch else None for p in PATHS)
    return f, g
