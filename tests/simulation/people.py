"""The same people on both sides before these are joined, in a system that refuses a second one."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar
from unittest.mock import patch

from tests.simulation.memory import Act, Memory, Written
from tests.simulation.operators import OPERATOR, TICK_SECONDS, meanwhile, resume_connection
from tests.simulation.world import World
from zenskar import Failure, FailureKind
from zenskar.db.events.event_log import EventFilter
from zenskar.errors import CallFailed, StateConflict, Unavailable
from zenskar.kernel.match import normalized
from zenskar.ops.replay import Replay
from zenskar.schema_catalog import core_schemas
from zenskar_stripe.integration import StripeIntegration
from zenskar_stripe.sandbox import StripeSandbox
from zenskar_stripe.sandbox.errors import invalid
from zenskar_stripe.sandbox.events import DASHBOARD, Origin

PEOPLE = 3
_EXISTS = "customer_exists"
_WAIT_SECONDS = 20.0
_ATTEMPTS, _ROUNDS = 20, 4
_COPIES = (0, 1, 1, 1, 2)

_RECORDS = "SELECT CAST(id AS text) AS id, email, deleted_at FROM customers WHERE email IS NOT NULL"
_MAPPINGS = (
    "SELECT external_id, state, CAST(entity_id AS text) AS record FROM external_mappings"
    " WHERE source_system = 'stripe'"
)
_DEAD = (
    "SELECT CAST(entity_id AS text) AS record, external_id, error_message FROM sync_events"
    " WHERE status = 'dead'"
)


class Unique(StripeIntegration):
    """Matches unknown customers by their e-mail address, which is unique for the API."""

    match_by: ClassVar[Mapping[str, tuple[str, ...]]] = {"customer": ("email",)}

    def classify_error(self, error: Exception) -> Failure | None:
        failure = super().classify_error(error)
        if failure is None or failure.code != _EXISTS:
            return failure
        known = str(getattr(error, "param", ""))
        return replace(failure, kind=FailureKind.EXISTS, external_id=known)


def email(who: int, *, there: bool = False) -> str:
    """Return the e-mail address of a person, as it is spelled on one of the sides."""
    text = f"person{who % PEOPLE}@example.com"
    return text.upper() if there else text


def draw_copies(rng: random.Random) -> Iterator[tuple[str, int]]:
    """Draw the records and the objects of each person, the records first."""
    for side in ("fill_here", "fill_there"):
        for who in range(PEOPLE):
            yield from ((side, who) for _ in range(rng.choice(_COPIES)))


@contextmanager
def refusing_equals(sandbox: StripeSandbox) -> Iterator[None]:
    """Refuse a create by the API if a living customer has the e-mail address."""
    catalog = sandbox.dashboard._catalog
    create = catalog.create

    def refuse(params: Mapping[str, Any], origin: Origin) -> Any:
        mail = normalized(params.get("email"))
        for known in catalog.living():
            if mail and origin != DASHBOARD and normalized(known["email"]) == mail:
                raise invalid("This customer exists.", known["id"], _EXISTS)
        return create(params, origin)

    with patch.object(catalog, "create", refuse):
        yield


async def fill_here(world: World, act: Act, memory: Memory) -> bool:
    """Create a record of a person before the join."""
    mail = email(act.who)
    body = {"name": act.value, "email": mail}
    created = await world.customers().create(body, correlation_id="simulation")
    memory.local.append(str(created.view["id"]))
    memory.written.append(Written(act.value, "internal", memory.local[-1], "/name"))
    memory.copy(mail, here=1)
    return True


async def fill_there(world: World, act: Act, memory: Memory) -> bool:
    """Create an object of a person before anybody listens to the events."""
    values = {"name": act.value, "email": email(act.who, there=True)}
    with patch.object(world.sandbox.dashboard._catalog._events, "emit"):
        memory.external.append(str(world.sandbox.dashboard.create(values)["id"]))
    memory.written.append(Written(act.value, "unseen", memory.external[-1], "/name"))
    memory.copy(email(act.who), there=1)
    return True


async def join_sides(world: World, act: Act, memory: Memory) -> bool:
    """Join both sides, as far as faults allow it now."""
    with suppress(TimeoutError):
        await join(world, memory, planned=act.who % 2 == 0)
        return True
    return False


async def join(world: World, memory: Memory, *, planned: bool) -> None:
    """Join both sides: by a plan that is applied before the connection works, or by work alone."""
    if planned:
        await _repeat(world, lambda: _apply_plan(world))
    if not memory.joined:
        memory.joined = True
        memory.wrong += [line for person in await _people(world) for line in person.chosen()]
    await resume_connection(world)
    await _repeat(world, lambda: _backfill(world))


async def _apply_plan(world: World) -> bool:
    operations = world.runtime.operations()
    plan = await operations.join_planner().plan("stripe", "customer")
    result = await operations.join_applier(wait_seconds=_WAIT_SECONDS).apply(plan)
    return result.problem is None


async def _backfill(world: World) -> bool:
    backfiller = world.runtime.operations().backfiller(wait_seconds=_WAIT_SECONDS)
    return (await backfiller.run("stripe", "customer")).complete


async def _repeat(world: World, run: Callable[[], Awaitable[bool]]) -> None:
    """Repeat an operation that meets faults, while time passes and workers die."""
    for _ in range(_ATTEMPTS):
        try:
            if await meanwhile(world, run()):
                return
        except (Unavailable, CallFailed, StateConflict):
            await asyncio.sleep(TICK_SECONDS)
    raise TimeoutError


@dataclass
class Person:
    """The living records and objects with one e-mail address."""

    mail: str
    records: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    """The objects that are linked, with their records."""
    asked: list[str] = field(default_factory=list)
    """The errors of the dead letters that name a copy of this person."""
    unsaid: set[str] = field(default_factory=set)
    """The copies that are neither linked nor named by a dead letter."""
    ended: set[str] = field(default_factory=set)
    """The objects that outlived their record."""
    died: bool = False
    """Whether a record was deleted, so that an object may have got another one."""

    def chosen(self) -> list[str]:
        """A person with two records has no object before a create or a person decides."""
        return [f"was chosen: {self}"] if len(self.records) > 1 and self.pairs else []

    def guessed(self, copies: Mapping[str, tuple[int, int]]) -> list[str]:
        """A person with one record and one object is linked without a question to anybody.

        `copies` are the numbers of records and objects before the join, by address.
        """
        if copies.get(self.mail) != (1, 1) or self.died or not self.objects:
            return []
        certain = len(self.records) == len(self.pairs) == 1 and not self.asked
        return [] if certain else [f"was one pair, and is {self}"]

    def silent(self) -> list[str]:
        """A copy of a person with both sides is linked, or waits as a dead letter."""
        both = self.records and self.objects
        return [f"nobody was told: {self}"] if both and self.unsaid else []

    def doubled(self) -> list[str]:
        """Each person with a record exists once on each side, as one pair."""
        once = len(self.records) == len(self.objects) == len(self.pairs) == 1
        return [] if once or not self.records else [f"is no pair: {self}"]


async def end(world: World, memory: Memory, patience: float) -> list[str]:
    """Decide on the ambiguous copies of two sides that are joined; return every breach."""
    people = await _people(world)
    wrong = [line for one in people for line in one.guessed(memory.copies)]
    for _ in range(_ROUNDS):
        wrong += [line for person in people for line in person.silent()]
        for person in people:
            await _keep_one(world, person)
        await world.settle(patience)
        replay = Replay(world.runtime.engine, world.runtime.context.wake, core_schemas()["event"])
        again = await replay.retry(EventFilter(), OPERATOR)
        await world.settle(patience)
        people = await _people(world)
        if not again:
            break
    return wrong + [line for person in people for line in person.doubled()]


async def _people(world: World) -> list[Person]:
    people: dict[str, Person] = {}
    for row in await world.rows(_RECORDS):
        person = people.setdefault(mail := normalized(row["email"]), Person(mail))
        person.died |= row["deleted_at"] is not None
        person.records += [] if row["deleted_at"] else [row["id"]]
    for seen in world.sandbox.dashboard.living():
        if mail := normalized(seen["email"]):
            people.setdefault(mail, Person(mail)).objects.append(seen["id"])
    mappings, dead = await world.rows(_MAPPINGS), await world.rows(_DEAD)
    owned = {row["external_id"]: row["record"] for row in mappings if row["state"] == "active"}
    for person in people.values():
        copies = {*person.records, *person.objects}
        person.pairs = [(o, owned[o]) for o in person.objects if owned.get(o) in person.records]
        person.ended = copies & {row["external_id"] for row in mappings} - owned.keys()
        named = [row for row in dead if copies & {row["record"], row["external_id"]}]
        person.asked = [row["error_message"] for row in named]
        person.unsaid = copies - person.ended - {name for pair in person.pairs for name in pair}
        person.unsaid -= {row[name] for row in named for name in ("record", "external_id")}
    return list(people.values())


async def _keep_one(world: World, person: Person) -> None:
    """Delete the surplus copies of a person with a record."""
    if not person.records:
        return
    free = [each for each in person.objects if each not in person.ended]
    kept = {*(person.pairs or [(next(iter(free), ""), person.records[0])])[0]}
    for record_id in sorted({*person.records} - kept):
        await world.customers().delete(record_id, correlation_id="simulation")
    for external_id in sorted({*person.objects} - kept):
        world.sandbox.dashboard.delete(external_id)
