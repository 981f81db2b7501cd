"""All possible next moves of a world, the moves that cost nothing first.

`Moves.free` happen without a cause from outside, so a world without them is at rest.
`Moves.costly` are edits, faults and the clock, bounded by the budget.
"""

from collections.abc import Iterator
from typing import Any

from tests.kernel.external import External
from tests.kernel.invariants import survivors
from tests.kernel.outside import Outside
from tests.kernel.shell import Seen, Shell, detach, leave, settle, want_fetch
from tests.kernel.world import (
    GONE,
    NOT_ANSWERED,
    NOT_FOUND,
    RESOURCE_MISSING,
    STALE_VERSION,
    STEP,
    Bounds,
    Call,
    Hook,
    Move,
    Sent,
    World,
    active_map,
    call_name,
    is_outside,
    without,
)
from zenskar.kernel import StepKind, Verdict
from zenskar.model.observation import ObservationKind
from zenskar.model.record import IntentKind, IntentState

_PUSHES = {
    StepKind.CREATE: IntentKind.CREATE,
    StepKind.UPDATE: IntentKind.UPDATE,
    StepKind.DELETE: IntentKind.DELETE,
}


_CONDITIONAL = frozenset({StepKind.UPDATE, StepKind.DELETE})


class Moves:
    """The moves within some bounds."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.shell = Shell(bounds)
        self._external = External(bounds)
        self._outside = Outside(bounds, self.shell, self._external)

    def free(self, world: World) -> Iterator[Move]:
        """Yield the moves without a cause from outside."""
        for call in world.calls:
            if call.answer != NOT_ANSWERED:
                yield f"answer of {call_name(call)}", self._receive(world, call)
        for call in world.calls:
            if call.answer == NOT_ANSWERED:
                yield f"{call_name(call)} takes effect", self._reach(world, call)
        for rid in range(len(world.records)):
            if world.waiting >> rid & 1 and not self._held(world, rid):
                before = world._replace(waiting=world.waiting & ~(1 << rid))
                yield f"a worker takes up record {rid}", self._next(before, rid)
        for hook in sorted(set(world.hooks)):
            yield f"webhook {_hook(hook)}", self._deliver(world, hook, again=False)
        yield from self._looks(world)
        yield from self._looks_after(world)

    def costly(self, world: World) -> Iterator[Move]:
        """Yield the moves from outside."""
        yield from self._outside.edits(world)
        yield from self._outside.deletes(world)
        yield from self._outside.restores(world)
        yield from self._outside.merges(world)
        yield from self._outside.clones(world)
        yield from self._outside.releases(world)
        yield from self._outside.faults(world)
        budget = world.budget
        if budget.copies:
            spent = world._replace(budget=budget._replace(copies=budget.copies - 1))
            for hook in sorted(set(world.hooks)):
                yield f"webhook {_hook(hook)}, again later", self._deliver(spent, hook, again=True)
        if budget.ticks:
            spent = world._replace(budget=budget._replace(ticks=budget.ticks - 1))
            yield "tick", spent._replace(clock=world.clock + 1)
        if budget.polls:
            spent = world._replace(budget=budget._replace(polls=budget.polls - 1))
            for eid, held in enumerate(world.objects):
                if held.fields != GONE:
                    yield f"a poll shows object {eid}", self._poll(spent, eid)
        if budget.steps:
            spent = world._replace(budget=budget._replace(steps=budget.steps - 1))
            back = world.clock - STEP
            yield "their clock is set back", spent._replace(clock=back, lag=world.lag + STEP)

    def zombies(self, world: World) -> Iterator[Move]:
        """Yield the ends of requests without a waiting worker that never arrive."""
        for call in world.calls:
            if not call.live:
                lost = self._found_later(without(world, call), call.rid)
                yield f"{call_name(call)} is lost for ever", lost

    def _held(self, world: World, rid: int) -> bool:
        """Whether a live worker is busy with the record, and no other may be."""
        busy = sum(1 for c in world.calls if c.rid == rid and c.live and not c.look)
        if not busy:
            return False
        fenced = self._bounds.overlap and busy < 2
        return not fenced or self.shell.plan(world, rid)[0] is StepKind.WAIT

    def _next(self, world: World, rid: int) -> World:
        """Plan and start the next call of a worker, as `StepPlanner._next` does."""
        step, changes, kid = self.shell.plan(world, rid)
        if step is StepKind.DETACH:
            known = active_map(world, rid)
            assert known is not None
            world = detach(world, known)
            step, changes, kid = self.shell.plan(world, rid)
        elif step is StepKind.LEAVE:
            known = active_map(world, rid)
            assert known is not None
            world = leave(world, known)
            step, changes, kid = self.shell.plan(world, rid)
        if step is StepKind.NOTHING:
            return world
        if step is StepKind.WAIT:
            return world._replace(waiting=world.waiting | 1 << rid)
        return self._send(world, rid, step, changes, kid)

    def _send(self, world: World, rid: int, step: StepKind, changes: Any, kid: int) -> World:
        known = active_map(world, rid)
        fetched = step is StepKind.FETCH
        live = known if known is not None and (known.active or fetched) else None
        rev = live.rev if live else 0
        record = world.records[rid]
        if step is StepKind.UPDATE and _unheard(world, rid, rev):
            world = world._replace(broken="an update is repeated without a look")
        if step not in {StepKind.FETCH, StepKind.FIND} and is_outside(self._bounds, record.fields):
            world = world._replace(broken="a record outside of the filter is pushed")
        if step in _PUSHES:
            kid = 1 + max((i.kid for i in world.intents), default=0)
            sent_at = known.rev if known else 0
            intent = Sent(kid, rid, _PUSHES[step], changes, sent_at, IntentState.SENT)
            world = world._replace(intents=(*world.intents, intent))
        elif step is StepKind.RESEND:
            world = _sent_again(settle(world, (kid,), IntentState.SENT), kid)
        if step not in {StepKind.FETCH, StepKind.FIND}:
            world = world._replace(slack=world.slack - 1)
        makes = step in {StepKind.CREATE, StepKind.RESEND}
        call = Call(
            rid,
            step,
            kid,
            live.eid if live else -1,
            rev,
            world.now,
            late=record.deleted and makes,
            early=step is StepKind.FIND and self._may_arrive(world, kid),
            version=live.version if live and step in _CONDITIONAL else 0,
        )
        return world._replace(calls=(*world.calls, call))

    def _reach(self, world: World, call: Call) -> World:
        """Process a request in the external system."""
        rest = without(world, call)
        changed, answer = self._external.act(rest, call)
        if not call.live:
            return self._found_later(changed, call.rid)
        if answer.eid < NOT_ANSWERED.eid:
            answer = answer._replace(at=world.clock)
        return changed._replace(calls=(*changed.calls, call._replace(answer=answer)))

    def _receive(self, world: World, call: Call) -> World:  # noqa: PLR0911 - one for each answer
        """Apply an answer and continue, as `StepPlanner.apply` and `FailedCalls` do."""
        world, rid, answer = without(world, call), call.rid, call.answer
        if answer == NOT_FOUND:
            return self._not_found(world, call)
        if answer.exists:
            return self._exists(world, call)
        if call.links and (answer.fields == GONE or world.records[rid].deleted):
            return self._next(world, rid)
        if answer in {RESOURCE_MISSING, STALE_VERSION}:
            world = self.shell.lose(world, rid, call.kid, IntentState.FAILED)
            return self._next(world, rid)
        if call.step is StepKind.UPDATE and answer.eid != call.eid:
            return self._next(self.shell.lose(world, rid, call.kid, IntentState.UNKNOWN), rid)
        pushes = call.step not in {StepKind.FETCH, StepKind.FIND}
        low, high = self._second(answer.at)
        tag = world.objects[answer.eid].tag if call.look and rid < 0 else rid
        seen = Seen(
            ObservationKind.ANSWER if pushes else ObservationKind.FETCH,
            answer.eid,
            low - (world.now - call.sent),
            high,
            answer.fields,
            tag,
            rev=-1 if call.look and not call.rev and rid < 0 else call.rev,
            kid=call.kid if pushes else 0,
            merged=answer.merged,
            replayed=answer.replayed,
            sent=(low - (world.now - call.sent), high),
            changed_at=self._second(answer.changed) if self._bounds.dated else None,
            version=answer.version,
            blank=self._bounds.blind and pushes and answer.fields != GONE,
            foreign=call.links and world.objects[answer.eid].tag < 0,
        )
        if call.look:
            return self._take_in(world, seen)
        world, _, told = self.shell.observe(world, seen)
        if told.verdict is Verdict.DUPLICATE:
            return self._anothers(world, call)
        if told.verdict is Verdict.TOMBSTONE and call.step is StepKind.FIND:
            world = settle(world, (call.kid,), IntentState.FAILED)
        return self._next(world, rid)

    def _found_later(self, world: World, rid: int) -> World:
        """Take the record up for a find, unless a request of its create is still on its way."""
        step, _, kid = self.shell.plan(world, rid)
        if step is not StepKind.FIND or self._may_arrive(world, kid):
            return world
        return world._replace(waiting=world.waiting | 1 << rid)

    def _may_arrive(self, world: World, kid: int) -> bool:
        """Whether a request of a create is on its way, unless the create counts as too old."""
        arrives = any(i.kid == kid and i.arrives for i in world.intents)
        return arrives and any(c.kid == kid for c in world.calls)

    def _not_found(self, world: World, call: Call) -> World:
        """Plan on after a find without a result, which proves nothing while a request may arrive.

        A create that can be repeated by now is repeated, or another worker is doing so.
        """
        rid = call.rid
        if self.shell.plan(world, rid)[0] is not StepKind.FIND:
            return self._next(world, rid)
        if call.early:
            # The message is due again once no request can arrive.
            return self._found_later(world, rid)
        return self._next(settle(world, (call.kid,), IntentState.FAILED), rid)

    def _looks(self, world: World) -> Iterator[Move]:
        """Yield the fetches of objects by their names."""
        undecided = (e for e in range(len(world.objects)) if world.undecided >> e & 1)
        for eid in (*survivors(world), *undecided):
            after = self._look(world._replace(undecided=world.undecided & ~(1 << eid)), eid)
            if after != world:
                yield f"a worker looks at object {eid}", after
        for eid in range(len(world.objects)):
            if world.looks >> eid & 1:
                yield f"a worker begins to look at object {eid}", self._begin_look(world, eid)

    def _begin_look(self, world: World, eid: int) -> World:
        """Send the fetch of an object, as `StepPlanner.begin` does."""
        world = world._replace(looks=world.looks & ~(1 << eid))
        known = next((m for m in world.maps if m.eid == eid), None)
        former = known is not None and known.fetch and not world.records[known.rid].deleted
        if known is not None and not known.active and not former and not self._bounds.restores:
            return world
        rid, rev = (known.rid, known.rev) if known is not None else (-1, 0)
        call = Call(rid, StepKind.FETCH, 0, eid, rev, world.now, look=True)
        return world._replace(calls=(*world.calls, call))

    def _exists(self, world: World, call: Call) -> World:
        """Fetch the object that refused a create, as `FailedCalls` does."""
        rid, eid = call.rid, call.answer.eid
        if call.step is StepKind.RESEND:
            # An earlier create may have made the object, so it is found by the record's id.
            spent = (i._replace(alive=i.alive and i.kid != call.kid) for i in world.intents)
            world = world._replace(intents=tuple(spent), waiting=world.waiting | 1 << rid)
            return self.shell.lose(world, rid, call.kid, IntentState.UNKNOWN)
        world = settle(world, (call.kid,), IntentState.FAILED)
        known = next((m for m in world.maps if m.eid == eid), None)
        if known is not None and not (known.active and known.rid == rid):
            return self._anothers(world, call)
        mine = active_map(world, rid)
        if (mine is not None and mine.active) or world.records[rid].deleted:
            return self._next(world, rid)
        fetch = Call(rid, StepKind.FETCH, 0, eid, 0, world.now, links=True)
        return world._replace(calls=(*world.calls, fetch))

    def _anothers(self, world: World, call: Call) -> World:
        """Stop for this record, since the object belongs to another one."""
        if active_map(world, call.rid) is not None:
            return self._next(world, call.rid)
        mine = 1 << call.rid
        return world._replace(refused=world.refused | mine, waiting=world.waiting & ~mine)

    def _busy(self, world: World, rid: int) -> bool:
        """Whether a worker works for the record, or a message of it waits."""
        return bool(world.waiting >> rid & 1) or any(c.rid == rid and c.live for c in world.calls)

    def _looks_after(self, world: World) -> Iterator[Move]:
        """Request fetches of objects whose pushes are too old to arrive, as `LostPushes` does."""
        for intent in world.intents:
            known = active_map(world, intent.rid)
            old = intent.state is IntentState.UNKNOWN and not intent.arrives
            if old and known and known.active and not self._busy(world, intent.rid):
                wanted = want_fetch(world, known)
                mine = 1 << intent.rid
                yield f"a look for k{intent.kid}", wanted._replace(waiting=world.waiting | mine)

    def _deliver(self, world: World, hook: Hook, *, again: bool) -> World:
        """Apply a webhook and queue pushes, as `InboundSync` does."""
        if not again:
            hooks = list(world.hooks)
            hooks.remove(hook)
            world = world._replace(hooks=tuple(hooks))
        seen = Seen(
            ObservationKind.WEBHOOK,
            hook.eid,
            hook.low,
            hook.high,
            hook.fields,
            hook.tag,
            origin=hook.origin,
            changed=hook.changed,
            sent=self._second(world.clock),
            version=hook.version,
            merged=hook.merged,
        )
        return self._take_in(world, seen)

    def _look(self, world: World, eid: int) -> World:
        """Fetch a duplicate whose record has ended, as a unit of work requests."""
        held, now = world.objects[eid], world.clock
        seen = Seen(ObservationKind.FETCH, eid, now, now, held.fields, held.tag, sent=(now, now))
        seen = seen._replace(version=held.version)
        return self._take_in(world, seen)

    def _poll(self, world: World, eid: int) -> World:
        """Observe an object of a list, which was read within this second."""
        held, (low, high) = world.objects[eid], self._second(world.clock)
        changed = self._second(held.at) if self._bounds.dated else None
        seen = Seen(
            ObservationKind.LIST,
            eid,
            low,
            high,
            held.fields,
            held.tag,
            sent=(low, high),
            changed_at=changed,
            version=held.version,
        )
        return self._take_in(world, seen)

    def _second(self, at: int) -> tuple[int, int]:
        """Return the second of a time, as the external system reports it."""
        per = self._bounds.per_second
        return at // per * per, at // per * per + per - 1

    def _take_in(self, world: World, seen: Seen) -> World:
        world, rid, told = self.shell.observe(world, seen)
        if told.verdict is Verdict.UNDECIDED:
            world = world._replace(undecided=world.undecided | 1 << seen.eid)
        if seen.fields == GONE and seen.merged < 0:
            world = world._replace(buried=world.buried | 1 << seen.eid)
        elif told.creates and world.buried >> seen.eid & 1 and not world.restored >> seen.eid & 1:
            world = world._replace(broken="an object that was deleted became a record")
        if rid < 0 or not told.verdict.changes_state:
            return world
        if self.shell.plan(world, rid)[0] in {StepKind.NOTHING, StepKind.WAIT}:
            return world
        return world._replace(waiting=world.waiting | 1 << rid)


def _unheard(world: World, rid: int, rev: int) -> bool:
    """Whether a push has no answer, and no observation was made since."""
    unknown = IntentState.UNKNOWN
    return any(i.rid == rid and i.rev == rev and i.state is unknown for i in world.intents)


def _hook(hook: Hook) -> str:
    shows = "deleted" if hook.fields == GONE else hook.fields
    by = f" by k{hook.origin}" if hook.origin else " by nobody of ours" * bool(hook.changed)
    return f"object {hook.eid} {shows} at {hook.low}{by}"


def _sent_again(world: World, kid: int) -> World:
    """Count the age of a create from its last request."""
    again = (i._replace(arrives=True) if i.kid == kid else i for i in world.intents)
    return world._replace(intents=tuple(again))
