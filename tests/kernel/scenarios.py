"""The bounded worlds for searches: their start and their possible moves."""

from dataclasses import replace

from tests.kernel.world import Bounds, Budget, Hook, Map, Obj, Origins, Rec, World
from zenskar.kernel import ConflictPolicy

_INTERNAL, _EXTERNAL = ConflictPolicy.INTERNAL_WINS, ConflictPolicy.EXTERNAL_WINS
_LATEST = ConflictPolicy.LATEST_WINS


def synced(**budget: int) -> World:
    """A record that is equal to its external object."""
    return _world(
        (Rec((1, 2)),), (Map(0, 0, (1, 2), 0, 0),), (Obj((1, 2), 0, ours=True),), budget=budget
    )


def fresh(**budget: int) -> World:
    """A new record without an external object."""
    return _world((Rec((1, 2)),), (), (), waiting=1, budget=budget)


def native(**budget: int) -> World:
    """A new external object without a record."""
    news = Hook(0, 0, 0, (1, 2), -1, 0)
    return _world((), (), (Obj((1, 2), -1),), budget=budget)._replace(hooks=(news,))


def claimed(**budget: int) -> World:
    """A record equal to its external object, and a second object that carries its id."""
    world = synced(**budget)
    second = Hook(0, 0, 1, (1, 2), 0, 0)
    return world._replace(objects=(*world.objects, Obj((1, 2), 0)), hooks=(second,))


def unseen(**budget: int) -> World:
    """A record whose external object our credentials may not show."""
    world = synced(**budget)
    return world._replace(objects=(Obj((1, 2), 0),))


def two_new(**budget: int) -> World:
    """Two new records."""
    return _world((Rec((1, 2)), Rec((8, 9))), (), (), waiting=3, budget=budget)


def retagged(**budget: int) -> World:
    """A new record, whose id another record's external object carries."""
    records = (Rec((1, 2)), Rec((8, 9)))
    known = (Map(0, 0, (1, 2), 0, 0),)
    return _world(records, known, (Obj((1, 2), 1),), waiting=2, budget=budget)


def neighbours(**budget: int) -> World:
    """Two records with an object each, and a new object without a record."""
    records = (Rec((1, 2)), Rec((8, 9)))
    known = (Map(0, 0, (1, 2), 0, 0), Map(1, 1, (8, 9), 0, 0))
    objects = (Obj((1, 2), 0, ours=True), Obj((8, 9), 1, ours=True), Obj((6, 7), -1))
    news = Hook(0, 0, 2, (6, 7), -1, 0)
    return _world(records, known, objects, budget=budget)._replace(hooks=(news,))


def both_sides(*there: int, **budget: int) -> World:
    """A new record, and an object of the same person there, which names no record."""
    fields = tuple(there)
    news = Hook(0, 0, 0, fields, -1, 0)
    return fresh(**budget)._replace(objects=(Obj(fields, -1),), hooks=(news,))


def partial(world: World) -> World:
    """The same where the external system holds the first field only."""
    objects = tuple(held._replace(fields=(held.fields[0], 0)) for held in world.objects)
    hooks = tuple(hook._replace(fields=(hook.fields[0], 0)) for hook in world.hooks)
    return world._replace(objects=objects, hooks=hooks)


def versioned(world: World) -> World:
    """The same where the objects have versions, which the mappings know."""
    maps = tuple(known._replace(version=1) for known in world.maps)
    objects = tuple(held._replace(version=1) for held in world.objects)
    hooks = tuple(hook._replace(version=1) for hook in world.hooks)
    return world._replace(maps=maps, objects=objects, hooks=hooks)


def small() -> list[Bounds]:
    """Bounds that take seconds."""
    one_each = {"internal": 1, "external": 1}
    return [
        Bounds(
            "two edits here, one there, one lost answer, one tick",
            synced(internal=2, external=1, faults=1, ticks=1),
            crash=False,
        ),
        Bounds(
            "the same, theirs win, no tick",
            synced(internal=2, external=1, faults=1),
            policy=_EXTERNAL,
        ),
        Bounds(
            "the same, the later edit wins",
            synced(internal=1, external=1, faults=1, ticks=1),
            policy=_LATEST,
        ),
        Bounds(
            "the later edit wins, a poll shows when an object changed",
            synced(internal=1, external=1, faults=1, ticks=1, polls=1),
            policy=_LATEST,
            dated=True,
        ),
        *_both(
            Bounds(
                "an edit and a delete on each side, a copy",
                synced(**one_each, internal_deletes=1, external_deletes=1, copies=1),
            )
        ),
        Bounds(
            "an edit on each side, a delete that stays here, a lost answer",
            synced(**one_each, internal_deletes=1, faults=1, copies=1),
            propagate=False,
        ),
        Bounds(
            "two edits there, a copy, finer clocks here",
            synced(internal=1, external=2, copies=1, ticks=1),
            policy=_EXTERNAL,
            per_second=2,
        ),
        Bounds(
            "two fields",
            synced(internal=1, external=1, faults=1),
            internal_fields=(0, 1),
            external_fields=(0, 1),
        ),
        Bounds("values come back", synced(internal=2, external=1, copies=1), again=True),
        *_both(
            Bounds(
                "their clock is set back",
                synced(internal=1, external=2, steps=1, ticks=1),
                crash=False,
            )
        ),
        Bounds(
            "their clock is set back, a lost answer, a copy",
            synced(internal=1, external=1, faults=1, copies=1, steps=1),
        ),
        Bounds("their clock is set back, a new record", fresh(internal=1, external=1, steps=1)),
        *_both(Bounds("a new record", fresh(**one_each, faults=1), overlap=True)),
        Bounds(
            "a new record is deleted and returns",
            fresh(faults=2, internal_deletes=1, undeletes=1),
            overlap=True,
        ),
        Bounds(
            "a create is sent again after the lifetime of its request",
            fresh(faults=2, internal_deletes=1, undeletes=1, lifetimes=1),
            crash=False,
        ),
        Bounds(
            "a new record is deleted",
            fresh(faults=1, internal_deletes=1, external_deletes=1, forgets=1),
            overlap=True,
            stubs=True,
            propagate=False,
        ),
        Bounds(
            "a new object there, deletes on both sides",
            native(**one_each, internal_deletes=1, external_deletes=1),
            policy=_EXTERNAL,
        ),
        Bounds(
            "an external system that rewrites what it is sent",
            synced(internal=2, external=1, faults=1),
            policy=_EXTERNAL,
            rewrites=True,
        ),
        Bounds(
            "the same with a new record",
            fresh(internal=1, external=1, faults=1),
            rewrites=True,
        ),
        *_both(
            Bounds(
                "an external system that refuses what it is sent",
                synced(internal=2, external=1, faults=1),
                refuses=True,
            )
        ),
        *_rivals(),
        *_partial(),
        *_origins(),
        *_versions(),
        *_blind(),
        *_restored(),
        *_merges(),
        *_matches(),
        *map(_filtered, _crossings()),
    ]


def _crossings() -> list[Bounds]:
    """Records that leave and enter the filter of a connection."""
    return [
        Bounds(
            "a filter, edits on both sides, theirs win",
            synced(internal=3, external=2),
            policy=_EXTERNAL,
        ),
        Bounds("a filter, a new object, edits, ticks", native(internal=1, external=2, ticks=1)),
        Bounds(
            "a filter, a new record, keys are forgotten", fresh(internal=2, faults=1, forgets=1)
        ),
        Bounds(
            "a filter, an edit and a delete on each side",
            synced(internal=1, external=1, internal_deletes=1, external_deletes=1),
        ),
        Bounds(
            "a filter, an object that is not visible is let go of",
            unseen(internal=2, external=1, releases=1),
        ),
        Bounds("a filter, edits there, a poll", synced(internal=1, external=2, polls=1, ticks=1)),
        Bounds("a filter, an object is copied", synced(internal=2, clones=1, copies=1)),
        Bounds(
            "a filter, a merge of objects, an edit there",
            neighbours(external=1, merges=1)._replace(waiting=2),
        ),
        Bounds(
            "a filter, an object is deleted and restored",
            synced(internal=1, external=1, external_deletes=1, restores=1),
            restores=True,
        ),
    ]


def _long_crossings() -> list[Bounds]:
    """The same with more moves."""
    return [
        Bounds("a filter, three edits here, two there", synced(internal=3, external=2)),
        Bounds(
            "a filter, a lost answer, a tick",
            synced(internal=2, external=1, faults=1, ticks=1),
            crash=False,
        ),
        Bounds("a filter, a new record, a lost answer", fresh(internal=3, external=1, faults=1)),
        Bounds(
            "a filter, a lease that runs out",
            synced(internal=2, external=1, faults=1),
            overlap=True,
        ),
        Bounds(
            "a filter, two edits here, an edit there, deletes",
            synced(internal=2, external=1, internal_deletes=1, external_deletes=1),
        ),
    ]


def _filtered(bounds: Bounds) -> Bounds:
    return replace(bounds, filtered=True, internal_fields=(1,), external_fields=(1,))


def _matches() -> list[Bounds]:
    """A person who is on both sides, before both sides are joined."""
    joined = Bounds(
        "a person on both sides, an edit on each side",
        both_sides(1, 9, internal=1, external=1),
        internal_fields=(1,),
        external_fields=(1,),
        matches=True,
    )
    return [
        *_both(joined),
        replace(
            joined,
            name="a person on both sides, an edit there, a lost answer",
            start=both_sides(1, 9, external=1, faults=1),
            policy=_EXTERNAL,
        ),
        replace(
            joined,
            name="a person on both sides, an edit here, two overlapping workers",
            start=both_sides(1, 0, internal=1),
            policy=_EXTERNAL,
            overlap=True,
        ),
        replace(
            joined,
            name="a person on both sides, deletes on both sides, a copy",
            start=both_sides(1, 0, internal_deletes=1, external_deletes=1, copies=1),
        ),
    ]


def _merges() -> list[Bounds]:
    """People merge external objects."""
    return [
        Bounds("two of three objects are merged, a copy", neighbours(merges=1, copies=1)),
        Bounds("three objects are merged", neighbours(merges=2)),
        Bounds("objects are merged, an edit here", neighbours(internal=1, merges=1)),
        Bounds("objects are merged, an edit there", neighbours(external=1, merges=1)),
        Bounds(
            "objects are merged, a delete on each side",
            neighbours(internal_deletes=1, external_deletes=1, merges=1),
        ),
        Bounds(
            "an object and its copy are merged, an edit here, a lost answer",
            synced(internal=1, clones=1, merges=1, faults=1),
        ),
        Bounds(
            "updates of merged objects are redirected",
            neighbours(internal=1, merges=1),
            redirects=True,
        ),
        Bounds(
            "a new object is merged, a lost answer",
            claimed(internal=1, merges=1, faults=1, copies=1),
            redirects=True,
        ),
    ]


def _restored() -> list[Bounds]:
    """An external system that may restore a deleted object."""
    return [
        Bounds(
            "an object is deleted and restored, an edit on each side",
            synced(internal=1, external=1, external_deletes=1, restores=1),
            restores=True,
        ),
        Bounds(
            "an object is deleted twice and restored, a copy, a tick",
            synced(external_deletes=2, restores=1, copies=1, ticks=1),
            restores=True,
        ),
        Bounds(
            "an object is deleted on both sides and restored, an edit here",
            synced(internal=1, internal_deletes=1, external_deletes=1, restores=1),
            restores=True,
        ),
        Bounds(
            "an object is deleted and restored, an edit here, a lost answer",
            synced(internal=1, external_deletes=1, restores=1, faults=1),
            restores=True,
        ),
        Bounds(
            "an object is deleted and restored during an update, a tick",
            synced(internal=1, external_deletes=1, restores=1, ticks=1),
            restores=True,
        ),
        Bounds(
            "a new object there is deleted and restored",
            native(external=1, external_deletes=1, restores=1, copies=1),
            restores=True,
        ),
        Bounds(
            "a record returns by another connection",
            synced(internal=1, external=1, external_deletes=1, undeletes=1, copies=1),
        ),
        Bounds(
            "a record that was deleted here returns by another connection, a lost answer",
            synced(external=1, internal_deletes=1, undeletes=1, faults=1),
        ),
        Bounds(
            "a record returns by another connection, its object was kept",
            synced(external=1, internal_deletes=1, undeletes=1, copies=1),
            propagate=False,
        ),
        *_both(
            Bounds(
                "a record returns by another connection, edits of other fields",
                synced(internal=1, external=1, internal_deletes=1, undeletes=1),
                external_fields=(1,),
                propagate=False,
            )
        ),
    ]


def _blind() -> list[Bounds]:
    """An external system whose answers to pushes do not show the object."""
    return [
        Bounds(
            "answers without a body, two edits here, a lost answer",
            synced(internal=2, faults=1),
            crash=False,
            blind=True,
        ),
        *_both(
            Bounds(
                "answers without a body, an edit on each side, a lost answer",
                synced(internal=1, external=1, faults=1),
                blind=True,
            )
        ),
        Bounds(
            "answers without a body, values are rewritten, a tick",
            synced(internal=1, external=1, ticks=1),
            rewrites=True,
            blind=True,
        ),
        Bounds(
            "answers without a body, a new record, conditional writes",
            fresh(internal=1, external=1, faults=1),
            versions=True,
            blind=True,
        ),
        Bounds(
            "answers without a body, an edit and a delete on each side",
            synced(internal=1, external=1, internal_deletes=1, external_deletes=1),
            blind=True,
        ),
    ]


def _versions() -> list[Bounds]:
    """An external system that refuses writes to an object of another version."""
    return [
        *_both(
            Bounds(
                "conditional writes, two edits here, one there, a lost answer",
                versioned(synced(internal=2, external=1, faults=1)),
                versions=True,
                crash=False,
            )
        ),
        Bounds(
            "conditional writes, two edits there, a copy",
            versioned(synced(internal=1, external=2, copies=1)),
            versions=True,
        ),
        Bounds(
            "conditional writes, an edit and a delete on each side",
            versioned(synced(internal=1, external=1, internal_deletes=1, external_deletes=1)),
            versions=True,
        ),
        Bounds(
            "conditional writes, a new record",
            fresh(internal=1, external=1, faults=1),
            versions=True,
        ),
        Bounds(
            "conditional writes, a new object there",
            versioned(native(internal=1, external=2, copies=1)),
            versions=True,
        ),
    ]


def _origins() -> list[Bounds]:
    """External edits back to our values, with and without a reported origin."""
    edits = {"internal": 2, "external": 1, "faults": 1}
    return [
        *_both(
            Bounds(
                "an edit there back to a value of ours, origins told",
                synced(**edits),
                origins=Origins.TOLD,
                returns=True,
                crash=False,
            )
        ),
        *_both(
            Bounds(
                "two edits here, one there, one lost answer, no origins",
                synced(**edits),
                origins=Origins.HIDDEN,
            )
        ),
        Bounds(
            "an edit there back to a value of ours, no origins, a lifetime",
            synced(internal=1, external=1, faults=1, lifetimes=1),
            origins=Origins.HIDDEN,
            returns=True,
        ),
    ]


def _partial() -> list[Bounds]:
    """An external system that holds the first field only, or whose webhooks show no other."""
    edits = {"internal": 1, "external": 1, "faults": 1}
    return [
        *_both(
            Bounds(
                "a field that the external system does not hold",
                partial(synced(**edits)),
                internal_fields=(0, 1),
                holds=(0,),
            )
        ),
        Bounds(
            "a new record with such a field",
            partial(fresh(**edits)),
            internal_fields=(0, 1),
            overlap=True,
            holds=(0,),
        ),
        Bounds(
            "a new object there, with such a field here",
            partial(native(**edits, copies=1)),
            internal_fields=(0, 1),
            policy=_EXTERNAL,
            holds=(0,),
        ),
        Bounds(
            "another record's object is found, with such a field",
            partial(retagged(internal=1, faults=1, forgets=1)),
            internal_fields=(0, 1),
            holds=(0,),
        ),
        Bounds(
            "webhooks that leave a field out",
            synced(internal=2, faults=1),
            internal_fields=(0, 1),
            tells=(0,),
        ),
    ]


def _rivals() -> list[Bounds]:
    """Two records that compete for an external object."""
    return [
        Bounds(
            "two objects claim a record",
            claimed(internal=1, external=1, external_deletes=1, copies=1),
        ),
        Bounds(
            "two objects claim a record, which is deleted",
            claimed(external=1, internal_deletes=1, external_deletes=1),
        ),
        Bounds(
            "an object is copied, and duplicates are deleted",
            synced(internal=1, external_deletes=2, clones=1, copies=1),
        ),
        Bounds(
            "an object is copied, and its record is deleted",
            synced(external=1, internal_deletes=1, external_deletes=1, clones=1),
            propagate=False,
        ),
        Bounds(
            "a new record is deleted, and its object is copied",
            fresh(faults=1, internal_deletes=1, clones=1),
        ),
        Bounds(
            "another object is made for a record",
            unseen(internal=1, faults=1, internal_deletes=1, releases=1, copies=1),
        ),
        Bounds(
            "another object is made for a record, and copied",
            unseen(external=1, internal_deletes=1, external_deletes=1, releases=1, clones=1),
            propagate=False,
        ),
        Bounds("two workers create one record each", two_new(faults=1), overlap=True),
        Bounds(
            "another record's object is found",
            retagged(internal=1, faults=1, forgets=1),
        ),
        Bounds("two creates are given one object", two_new(internal=1), upserts=True, again=True),
    ]


def large() -> list[Bounds]:
    """Bounds that take minutes."""
    return [
        *map(_filtered, _long_crossings()),
        *_all(
            Bounds(
                "two edits on each side, one lost answer, one tick",
                synced(internal=2, external=2, faults=1, ticks=1),
                crash=False,
            )
        ),
        *_both(
            Bounds(
                "two edits here, one there, two lost answers, one tick",
                synced(internal=2, external=1, faults=2, ticks=1),
            )
        ),
        *_both(
            Bounds(
                "their clock is set back, two overlapping workers, finer clocks here",
                synced(internal=1, external=1, faults=1, steps=1),
                overlap=True,
                per_second=2,
            )
        ),
        *_both(
            Bounds(
                "two overlapping workers",
                synced(internal=2, external=1, faults=1, ticks=1),
                overlap=True,
            )
        ),
        *_both(
            Bounds(
                "edits and deletes on both sides, a lost answer, a copy, a tick",
                synced(
                    internal=1,
                    external=1,
                    internal_deletes=1,
                    external_deletes=1,
                    faults=1,
                    copies=1,
                    ticks=1,
                ),
            )
        ),
        *_both(
            Bounds(
                "two fields, a lost answer, a copy",
                synced(internal=2, external=1, faults=1, copies=1),
                internal_fields=(0, 1),
                external_fields=(0, 1),
                crash=False,
            )
        ),
        *_both(
            Bounds(
                "finer clocks here, a lost answer, two ticks",
                synced(internal=2, external=1, faults=1, ticks=2),
                per_second=2,
                crash=False,
            )
        ),
        *_both(
            Bounds(
                "a new record, two lost answers, a tick",
                fresh(internal=1, external=1, faults=2, ticks=1),
                overlap=True,
            )
        ),
        *_both(
            Bounds(
                "a new object there, two edits there, a lost answer",
                native(internal=1, external=2, faults=1, ticks=1, copies=1),
            )
        ),
        *_both(
            Bounds(
                "an external system that rewrites what it is sent, a copy",
                synced(internal=2, external=1, faults=1, copies=1),
                rewrites=True,
            )
        ),
        *_both(
            Bounds(
                "an edit there back to a value of ours, no origins, two edits here, a lifetime",
                synced(internal=2, external=1, faults=1, lifetimes=1),
                origins=Origins.HIDDEN,
                returns=True,
                crash=False,
            )
        ),
        *_both(
            Bounds(
                "an edit there back to a value of ours, origins told, a lifetime, a tick",
                synced(internal=2, external=1, faults=1, lifetimes=1, ticks=1),
                origins=Origins.TOLD,
                returns=True,
                crash=False,
            )
        ),
        *_both(
            Bounds(
                "answers without a body, two edits here, one there, a lost answer",
                synced(internal=2, external=1, faults=1),
                crash=False,
                blind=True,
            )
        ),
        *_both(
            Bounds(
                "conditional writes, edits and deletes on both sides, a lost answer, a tick",
                versioned(
                    synced(
                        internal=1,
                        external=1,
                        internal_deletes=1,
                        external_deletes=1,
                        faults=1,
                        ticks=1,
                    )
                ),
                versions=True,
                overlap=True,
            )
        ),
        Bounds(
            "two objects claim a record, edits and deletes on both sides, a copy",
            claimed(internal=1, external=1, internal_deletes=1, external_deletes=1, copies=1),
        ),
        Bounds(
            "values come back, a lost answer, a copy",
            synced(internal=2, external=2, faults=1, copies=1),
            again=True,
        ),
        *_both(
            Bounds(
                "webhooks that leave a field out, with edits",
                synced(internal=2, external=1, faults=1),
                internal_fields=(0, 1),
                tells=(0,),
            )
        ),
        Bounds(
            "another record's object is found, with edits",
            retagged(internal=1, external=1, faults=1, forgets=1, ticks=1),
            policy=_EXTERNAL,
        ),
    ]


def deep() -> list[Bounds]:
    """Bounds for random runs alone."""
    faults = {"faults": 4, "copies": 3, "ticks": 4}
    edits = {"internal": 4, "external": 4} | faults
    deletes = {"internal_deletes": 1, "external_deletes": 1}
    return [
        *_all(Bounds("long, synced", synced(**edits), overlap=True)),
        *map(_filtered, _both(Bounds("long, a filter", synced(**edits, **deletes), overlap=True))),
        *_all(
            Bounds(
                "long, synced, two fields, finer clocks here",
                synced(**edits),
                internal_fields=(0, 1),
                external_fields=(0, 1),
                per_second=2,
            )
        ),
        *_both(Bounds("long, their clock is set back", synced(**edits, steps=1), overlap=True)),
        *_both(Bounds("long, synced, deletes", synced(**edits, **deletes), overlap=True)),
        *_both(Bounds("long, new", fresh(**edits, **deletes), overlap=True, stubs=True)),
        *_both(Bounds("long, native", native(**edits, **deletes), propagate=False)),
        *_both(Bounds("long, rewrites", fresh(**edits), rewrites=True)),
        *_both(Bounds("long, values come back", synced(**edits), again=True, overlap=True)),
        *_both(
            Bounds(
                "long, a field that the external system does not hold",
                partial(fresh(**edits)),
                internal_fields=(0, 1),
                overlap=True,
                holds=(0,),
            )
        ),
        *_both(
            Bounds(
                "long, back to values of ours, origins told",
                synced(**edits, lifetimes=2),
                origins=Origins.TOLD,
                returns=True,
            )
        ),
        *_both(
            Bounds(
                "long, no origins",
                synced(**edits, lifetimes=2),
                origins=Origins.HIDDEN,
                internal_fields=(0, 1),
                external_fields=(0, 1),
            )
        ),
        *_both(Bounds("long, claimed", claimed(**edits, **deletes), overlap=True)),
        *_all(
            Bounds(
                "long, conditional writes",
                versioned(synced(**edits)),
                overlap=True,
                versions=True,
            )
        ),
        *_both(Bounds("long, answers without a body", fresh(**edits), overlap=True, blind=True)),
        *_both(
            Bounds(
                "long, conditional writes, a new record, webhooks that leave a field out",
                fresh(**edits),
                internal_fields=(0, 1),
                versions=True,
                tells=(0,),
            )
        ),
    ]


def _both(bounds: Bounds) -> list[Bounds]:
    return [_under(bounds, policy) for policy in (_INTERNAL, _EXTERNAL)]


def _all(bounds: Bounds) -> list[Bounds]:
    return [*_both(bounds), _under(bounds, _LATEST)]


def _under(bounds: Bounds, policy: ConflictPolicy) -> Bounds:
    return replace(bounds, name=f"{bounds.name} ({policy.value})", policy=policy)


def _world(
    records: tuple[Rec, ...],
    maps: tuple[Map, ...],
    objects: tuple[Obj, ...],
    *,
    budget: dict[str, int],
    waiting: int = 0,
) -> World:
    return World(
        clock=0,
        records=records,
        maps=maps,
        intents=(),
        objects=objects,
        calls=(),
        hooks=(),
        cache=(),
        waiting=waiting,
        budget=Budget(**budget),
        slack=1 + waiting.bit_count(),
    )
