"""A small world around the real kernel: its parts, and one name for equal states.

Values are small integers, 0 is "no value". Everything is a tuple, so that states are cheap to
compare and to hash. Time is an integer; `Bounds.per_second` of its units make one second.
"""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

from zenskar.kernel import ConflictPolicy, StepKind
from zenskar.model.record import IntentKind, IntentState

Fields = tuple[int, int]
GONE: Fields | tuple[()] = ()
"""The fields of a deleted object."""


class Rec(NamedTuple):
    """A record of the catalog; its id is its place in `World.records`."""

    fields: Fields
    deleted: bool = False
    updated: int = 0


class Map(NamedTuple):
    """A mapping; `rid` is -1 for the tombstone of an unknown record's object."""

    eid: int
    rid: int
    base: Fields
    low: int
    high: int
    rev: int = 1
    active: bool = True
    fetch: int = 0
    detached: bool = False
    version: int = 0
    ended: bool = False
    merged: int = -1


class Sent(NamedTuple):
    """An intent; a change of 0 unsets a field, None leaves it alone."""

    kid: int
    rid: int
    kind: IntentKind
    changes: tuple[int | None, int | None]
    rev: int
    state: IntentState
    alive: bool = True
    arrives: bool = True


class Obj(NamedTuple):
    """An external object; its id is its place in `World.objects`. `ours`: a push made it.

    `at` is the time of its last change and `version` the number of its changes, where the external
    system shows them. `kept` are the fields of a deleted object that can be restored,
    and `merged` is the object into which this one was merged.
    """

    fields: Any
    tag: int
    ours: bool = False
    at: int = 0
    version: int = 0
    kept: Any = GONE
    merged: int = -1


class Answer(NamedTuple):
    """The answer of the external system and its time, on its clock: an object, or a problem.

    `exists`: a create was refused, because this object has the value by which objects are matched.
    """

    eid: int
    fields: Any
    replayed: bool = False
    at: int = 0
    changed: int = 0
    version: int = 0
    merged: int = -1
    exists: bool = False


# No two negative numbers: -1 and -2 have the same hash.
NOT_ANSWERED = Answer(97, GONE)
NOT_FOUND = Answer(98, GONE)
RESOURCE_MISSING = Answer(99, GONE)
STALE_VERSION = Answer(100, GONE)


class Call(NamedTuple):
    """A request on its way; `live`: a worker waits for it. `late`: sent after its record's end.

    `look`: a fetch by the name of an object, not for a record; then `rid` is the owner, if any.

    With a `version`, the external system refuses the request for an object of another version.
    `links`: a fetch of the object that refused a create. `early`: a find that was sent while a
    request of its create might still arrive.
    """

    rid: int
    step: StepKind
    kid: int
    eid: int
    rev: int
    sent: int
    live: bool = True
    answer: Answer = NOT_ANSWERED
    late: bool = False
    version: int = 0
    look: bool = False
    links: bool = False
    early: bool = False


class Hook(NamedTuple):
    """A webhook before its delivery; `changed`: fields as bits, if it reports the origin."""

    low: int
    high: int
    eid: int
    fields: Any
    tag: int
    origin: int
    changed: int = 0
    version: int = 0
    merged: int = -1


class Budget(NamedTuple):
    """The moves from outside that are still allowed."""

    internal: int = 0
    external: int = 0
    internal_deletes: int = 0
    external_deletes: int = 0
    faults: int = 0
    copies: int = 0
    ticks: int = 0
    forgets: int = 0
    clones: int = 0
    releases: int = 0
    lifetimes: int = 0
    steps: int = 0
    polls: int = 0
    restores: int = 0
    undeletes: int = 0
    merges: int = 0


class World(NamedTuple):
    """A state. `slack` is the number of further pushes that are allowed.

    `owed`, `old` and `back` are sets of values as bits: values written and not accounted for yet,
    values that the same side has overwritten, and values of ours that an external edit has
    restored. `due` is the value of such an edit without a competing one, so that the record must
    take it, or the history must hold it as a conflict where its origin is unknown. `newest` is the
    value of an edit here that no edit there followed. `buried` are
    the objects, as bits, whose end was reported to the catalog, and `undecided` those that match
    no single free record yet. `clock` is the external system's, and `lag` is the sum of its moves
    back, so that `now` only rises. `looks` are the objects, as bits, whose fetch was requested, and
    `restored` those that were restored after a delete.
    """

    clock: int
    records: tuple[Rec, ...]
    maps: tuple[Map, ...]
    intents: tuple[Sent, ...]
    objects: tuple[Obj, ...]
    calls: tuple[Call, ...]
    hooks: tuple[Hook, ...]
    cache: tuple[tuple[int, int, Any], ...]
    waiting: int
    budget: Budget
    slack: int = 1
    owed: int = 0
    old: int = 0
    back: int = 0
    due: int = 0
    newest: int = 0
    refused: int = 0
    buried: int = 0
    undecided: int = 0
    lag: int = 0
    broken: str = ""
    looks: int = 0
    restored: int = 0

    @property
    def now(self) -> int:
        """The time on a clock that is never set."""
        return self.clock + self.lag


class Origins(Enum):
    """The origins that webhooks report."""

    NAMED = "named"
    TOLD = "told"
    HIDDEN = "hidden"


@dataclass(frozen=True)
class Bounds:
    """A scenario: its start, its possible moves, and its settings.

    `crash`: a worker may die without noting that it got no answer. `overlap`: a worker may be
    taken for dead and continue. `stubs`: a delete's webhook does not say whose object it was.
    `upserts`: a create may answer with an object that is there already. `again`: an edit may
    restore the first value; then no value shows its writer, and only equality is checked.
    `rewrites`, `refuses`: the external system stores other values than it was sent, or none.
    `holds`: the fields that it stores; it drops the others, and does not show them.
    `tells`: the fields that its webhooks show.
    `origins`: webhooks name our keys, or say for every change whether it was ours, or nothing.
    `returns`: an external edit may restore a value that was ours once.
    `dated`: fetches and lists show when an object last changed.
    `blind`: answers to creates and updates do not show the object.
    `versions`: objects show their versions, and a write may name the version that it is based on.
    `restores`: the external system may restore a deleted object under its id.
    `redirects`: an update of a merged object changes the object into which it was merged.
    `matches`: an unknown object is matched by its first field, in which the external system refuses
    a second object with an equal value.
    `filtered`: only records whose second field is even pass the filter of the connection.
    """

    name: str
    start: World
    internal_fields: tuple[int, ...] = (0,)
    external_fields: tuple[int, ...] = (0,)
    policy: ConflictPolicy = ConflictPolicy.INTERNAL_WINS
    propagate: bool = True
    per_second: int = 1
    crash: bool = True
    overlap: bool = False
    stubs: bool = False
    upserts: bool = False
    again: bool = False
    rewrites: bool = False
    refuses: bool = False
    holds: tuple[int, ...] = (0, 1)
    tells: tuple[int, ...] = (0, 1)
    origins: Origins = Origins.NAMED
    returns: bool = False
    dated: bool = False
    versions: bool = False
    blind: bool = False
    restores: bool = False
    redirects: bool = False
    matches: bool = False
    filtered: bool = False

    @property
    def traceable(self) -> bool:
        """Whether every value shows its writer, so that a lost one is detected."""
        return not (self.again or self.rewrites or self.refuses or self.redirects)


Move = tuple[str, World]
STEP = 10
"""The time by which the external clock is moved back: more than passes within any bounds."""
FIRST_INTERNAL, FIRST_EXTERNAL = 3, 10
"""Every edit writes a value of its own; 1 and 2 are what the fields hold at first."""
REWRITTEN = 20
"""The number that an external system which rewrites values adds to them."""


def bit(value: int) -> int:
    """Return a value as a set of one; nothing is no value."""
    return 1 << value if value else 0


def is_outside(bounds: Bounds, fields: Any) -> bool:
    """Return whether these fields do not pass the filter."""
    return bounds.filtered and fields != GONE and fields[1] % 2 == 1


def without(world: World, call: Call) -> World:
    """Return the world without a request."""
    calls = list(world.calls)
    calls.remove(call)
    return world._replace(calls=tuple(calls))


def call_name(call: Call) -> str:
    """Return a request's name in a trace."""
    which = f" k{call.kid}" if call.kid else ""
    return f"{call.step.value}{which} of record {call.rid}"


def active_map(world: World, rid: int) -> Map | None:
    """Return the record's live mapping, or else its newest tombstone, as the database does."""
    found = None
    for one in world.maps:
        if one.rid == rid:
            if one.active:
                return one
            found = one
    return found


def canonical(world: World) -> World:
    """Return the one state that stands for all that differ in names and order only."""
    maps, intents, calls, hooks, cache = _canonical(world[2], world[3], world[5:8])
    return World(world[0], world[1], maps, intents, world[4], calls, hooks, cache, *world[8:])


@lru_cache(maxsize=100_000)
def _canonical(
    maps: tuple[Map, ...], intents: tuple[Sent, ...], rest: tuple[Any, ...]
) -> tuple[Any, ...]:
    calls, hooks, cache = rest
    known = {m.rid: m for m in sorted(maps, key=lambda m: m.active)}
    called = {m.eid: m for m in maps}
    referred = {c.kid for c in calls} | {h.origin for h in hooks}
    kept = [i for i in intents if i.state in _OPEN or i.kid in referred]
    names = {intent.kid: n for n, intent in enumerate(kept, 1)}
    names[0] = 0
    return (
        tuple(_ranked_map(m) for m in maps),
        tuple(i._replace(kid=names[i.kid], rev=_ranked(i.rev, known.get(i.rid))) for i in kept),
        tuple(sorted(_ranked_call(c, called.get(c.eid))._replace(kid=names[c.kid]) for c in calls)),
        tuple(sorted(h._replace(origin=names.get(h.origin, 0)) for h in hooks)),
        tuple((names[k], e, f) for k, e, f in cache if k in names),
    )


_OPEN = frozenset({IntentState.SENT, IntentState.UNKNOWN})


def _ranked_map(known: Map) -> Map:
    """Only the order of revisions matters, and which of them are equal."""
    if known.fetch == 0:
        return known if known.rev == 1 else known._replace(rev=1)
    if known.fetch == known.rev:
        return known._replace(rev=1, fetch=1)
    return known._replace(rev=2, fetch=1)


def _ranked(rev: int, known: Map | None) -> int:
    if known is None or rev == 0:
        return 0
    return _ranked_map(known).rev if rev == known.rev else 0


def _ranked_call(call: Call, known: Map | None) -> Call:
    rank = _ranked(call.rev, known)
    if rank == 0 and known is not None and call.step is StepKind.FETCH:
        rank = 1 if 0 < known.fetch <= call.rev else 0
    return call if rank == call.rev else call._replace(rev=rank)
