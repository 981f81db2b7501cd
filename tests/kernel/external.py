"""The external system: its answers to requests, and the webhooks that they cause."""

from typing import Any

from tests.kernel.shell import merged
from tests.kernel.world import (
    FIRST_EXTERNAL,
    GONE,
    NOT_FOUND,
    RESOURCE_MISSING,
    REWRITTEN,
    STALE_VERSION,
    Answer,
    Bounds,
    Call,
    Hook,
    Obj,
    Origins,
    Sent,
    World,
    bit,
)
from zenskar.kernel import StepKind


class External:
    """Answers each key once, remembers the answers of creates, and has a clock of seconds."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds

    def act(self, world: World, call: Call) -> tuple[World, Answer]:
        if call.step is StepKind.FIND:
            return world, self._find(world, call.rid)
        if call.step in {StepKind.CREATE, StepKind.RESEND}:
            return self._create(world, call)
        held = world.objects[call.eid]
        if call.step is StepKind.FETCH:
            shown = Answer(call.eid, held.fields, changed=held.at, version=held.version)
            return world, shown._replace(merged=held.merged)
        if self._bounds.redirects and call.step is StepKind.UPDATE:
            call = call._replace(eid=last_successor(world, call.eid))
            held = world.objects[call.eid]
        if held.fields == GONE:
            return world, RESOURCE_MISSING
        if call.version and call.version != held.version:
            return world, STALE_VERSION
        return self._write(world, call, held)

    def _write(self, world: World, call: Call, held: Obj) -> tuple[World, Answer]:
        """Answer an update or a delete of a living object."""
        if call.step is StepKind.DELETE:
            return self.put(world, call.eid, GONE, 0), Answer(call.eid, GONE)
        fields = self._kept(held.fields, merged(held.fields, _intent(world, call.kid).changes))
        if fields != held.fields:
            if self._bounds.versions and _unseen(world, call.eid, fields):
                world = world._replace(broken="an edit there is overwritten unseen")
            world = self.put(_overwritten(world, call.eid, fields), call.eid, fields, call.kid)
        return world, Answer(call.eid, fields, version=world.objects[call.eid].version)

    def _kept(self, held: Any, sent: Any) -> Any:
        """Return the fields that the external system stores for the sent ones."""
        sent = tuple(s if place in self._bounds.holds else 0 for place, s in enumerate(sent))
        if self._bounds.refuses:
            return tuple(h or s for h, s in zip(held, sent, strict=True))
        if self._bounds.rewrites:
            return tuple(s + REWRITTEN if 0 < s < FIRST_EXTERNAL else s for s in sent)
        return sent

    def _find(self, world: World, rid: int) -> Answer:
        for eid, held in reversed(list(enumerate(world.objects))):
            if held.tag == rid and held.fields != GONE:
                return Answer(eid, held.fields, changed=held.at, version=held.version)
        return NOT_FOUND

    def _create(self, world: World, call: Call) -> tuple[World, Answer]:
        for kid, eid, fields in world.cache:
            if kid == call.kid:
                return world, Answer(eid, fields, replayed=True)
        if call.late:
            world = world._replace(broken="a create was sent for a deleted record")
        sent = _intent(world, call.kid).changes
        fields = self._kept((0, 0), sent)
        if self._bounds.matches:
            for eid, held in enumerate(world.objects):
                if held.fields != GONE and held.fields[0] == fields[0]:
                    return world, Answer(eid, GONE, exists=True)
        if self._bounds.upserts and world.objects and world.objects[0].fields != GONE:
            eid = 0
            world = self.put(world, eid, fields, call.kid)
        else:
            eid = len(world.objects)
            world = world._replace(objects=(*world.objects, Obj(GONE, call.rid, ours=True)))
            world = self.put(world, eid, fields, call.kid)
        answer = Answer(eid, fields, version=world.objects[eid].version)
        return world._replace(cache=(*world.cache, (call.kid, eid, fields))), answer

    def put(self, world: World, eid: int, fields: Any, origin: int, *, merged: int = -1) -> World:
        """Change an external object, which causes a webhook; `merged` is its successor."""
        held = world.objects[eid]
        objects = (
            *world.objects[:eid],
            held._replace(
                fields=fields,
                merged=merged,
                kept=held.fields if self._bounds.restores and fields == GONE else GONE,
                at=world.clock if self._bounds.dated else 0,
                version=held.version + self._bounds.versions,
            ),
            *world.objects[eid + 1 :],
        )
        per = self._bounds.per_second
        second = world.clock // per * per
        tag = -1 if fields == GONE and self._bounds.stubs else held.tag
        origin, changed = self._told(held.fields, fields, origin)
        version = objects[eid].version
        hook = Hook(second, second + per - 1, eid, fields, tag, origin, changed, version, merged)
        return world._replace(objects=objects, hooks=(*world.hooks, hook))

    def _told(self, before: Any, after: Any, origin: int) -> tuple[int, int]:
        """Return the origin that a webhook reports, and the changed fields."""
        if self._bounds.origins is Origins.HIDDEN:
            return 0, 0
        if self._bounds.origins is Origins.NAMED or GONE in {before, after}:
            return origin, 0
        changed = [1 << n for n, old in enumerate(before) if old != after[n]]
        return origin, sum(changed)


def last_successor(world: World, eid: int) -> int:
    """Return the object into which an object was merged at last, or the object."""
    while world.objects[eid].merged >= 0:
        eid = world.objects[eid].merged
    return eid


def _intent(world: World, kid: int) -> Sent:
    return next(i for i in world.intents if i.kid == kid)


def _overwritten(world: World, eid: int, fields: Any) -> World:
    """Mark an external edit that a push overwrote unseen as no longer the later edit."""
    unseen = _unseen(world, eid, fields)
    return world._replace(old=world.old & bit(FIRST_EXTERNAL) - 1) if unseen else world


def _unseen(world: World, eid: int, fields: Any) -> bool:
    """Whether a push overwrites an external edit that the base does not hold."""
    base = next((m.base for m in world.maps if m.eid == eid), (0, 0))
    return any(
        old not in {new, known} and old >= FIRST_EXTERNAL
        for old, new, known in zip(world.objects[eid].fields, fields, base, strict=True)
    )
