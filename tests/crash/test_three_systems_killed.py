"""The catalog, Stripe and Salesforce become equal though processes of workers are killed."""

import asyncio
import json
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from sqlalchemy import text

from tests.crash.processes import DEADLINE_SECONDS, victim
from tests.simulation.clock import Clock
from tests.simulation.world import OPEN, PATIENCE_SECONDS, World, open_world
from tests.support.wait import until
from zenskar.http.lookalike import Fault, FaultKind
from zenskar_salesforce.sandbox import SalesforceSandbox, settings_of

SEED = 18
CUSTOMERS = 3
STRIPE_BEHIND, SALESFORCE_AHEAD = -20.0, 15.0
"""The errors of the external clocks in seconds."""
POINTS = ("outbound.called", "inbound.applied", "poll.published")
"""The failpoints at which workers are killed, each a process of its own."""
FAULTS = (FaultKind.DROP_ANSWER, FaultKind.DROP_REQUEST, FaultKind.SERVER_ERROR)
PAUSE_SECONDS = 0.5
"""The time between two edits."""
REST_SECONDS = 90.0
"""The time until all sides are at rest, on a busy machine."""
PUSHES_FOR_EACH = 3
"""The most pushes that a change, a fault, a kill or a conflict causes, on average."""
FAST = {"ZENSKAR_RETRY_BASE_SECONDS": "0.02", "ZENSKAR_RETRY_MAX_SECONDS": "0.1"}
LEASES_OVER = """
    WITH claims AS (UPDATE outbox SET claimed_until = now() WHERE claimed_until IS NOT NULL),
         polls AS (UPDATE schedules SET due_at = now() WHERE name LIKE 'poll:%')
    UPDATE push_intents SET lease_until = now() WHERE lease_until IS NOT NULL
"""
"""A killed worker holds its claims, pushes and polls for a while, which passes at once."""
LINKED = "SELECT count(*) = :count FROM external_mappings WHERE state = 'active'"
UNFINISHED = "SELECT * FROM sync_events WHERE status NOT IN ('succeeded', 'ignored')"


class PresentClock(Clock):
    """The real time, and the time that a world has let pass."""

    def __call__(self) -> float:
        return time.time() + self._ahead

    def __init__(self) -> None:
        super().__init__()
        self._ahead = 0.0

    def tick(self, seconds: float) -> None:
        self._ahead += seconds


@dataclass
class ThreeSides:
    """The world with Stripe, the org beside it, and what persons wrote on each side."""

    world: World
    org: SalesforceSandbox
    rng: random.Random
    ids: list[str] = field(default_factory=list)
    last: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """The last value by side, record and field."""
    causes: int = 0

    async def create(self) -> None:
        for number in range(CUSTOMERS):
            body = {"name": f"n{number}", "email": f"e{number}@example.com"}
            made = await self.world.customers().create(body, correlation_id="three")
            self.ids.append(str(made.view["id"]))
            self.causes += 1

    async def edit(self) -> None:
        """Change a field of a customer on some side, often with a fault."""
        record_id, name = self.rng.choice(self.ids), self.rng.choice(("name", "phone"))
        self.causes += 1
        value = f"v{self.causes}"
        side = self.rng.choice(("here", "stripe", "salesforce"))
        if self.rng.random() < 0.5:
            self.break_something()
        if side == "here":
            change = {name: value}
            await self.world.customers().patch(record_id, change, correlation_id="three")
        elif side == "stripe":
            self.world.sandbox.dashboard.update(await self.external(side, record_id), {name: value})
        else:
            # An edit within the second of the last seen change has no version of its own.
            self.org.shift_clock(self.org.clock.shift + 2)
            own = {"LastName": value, "FirstName": None} if name == "name" else {"Phone": value}
            self.org.edit(await self.external(side, record_id), **own)
        self.last[side, record_id, name] = value

    def break_something(self) -> None:
        self.causes += 1
        broken = self.rng.choice((self.world.sandbox, self.org))
        broken.faults.add(Fault(kind=self.rng.choice(FAULTS), method="POST"))

    async def external(self, source: str, record_id: str) -> str:
        found = await self.world.scalar(
            "SELECT external_id FROM external_mappings"
            " WHERE source_system = :source AND entity_id = CAST(:record_id AS uuid)",
            source=source,
            record_id=record_id,
        )
        return str(found)

    # --- kills ------------------------------------------------------------------------------

    async def work_until_linked(self) -> None:
        """Run a worker until every customer is on each side."""
        worker = await self.world.start_worker()
        linked = 2 * len(self.ids)
        await until(lambda: self.world.scalar(LINKED, count=linked), DEADLINE_SECONDS)
        await worker.stop()

    async def work_until_killed(self) -> None:
        """Run processes, and edit on all sides until each was killed at its failpoint."""
        async with AsyncExitStack() as stack, asyncio.timeout(DEADLINE_SECONDS):
            started = [
                await stack.enter_async_context(victim(self.world, "worker", point, **FAST))
                for point in POINTS
            ]
            living = {asyncio.ensure_future(each.wait()) for each in started}
            while living:
                await self.edit()
                dead, living = await asyncio.wait(
                    living, timeout=PAUSE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if dead:
                    await self.leases_end()
            assert {each.returncode for each in started} == {-signal.SIGKILL}

    async def leases_end(self) -> None:
        self.causes += 1
        async with self.world.runtime.engine.begin() as db:
            await db.execute(text(LEASES_OVER))

    # --- the end ----------------------------------------------------------------------------

    async def at_rest(self) -> None:
        """Run another worker until all sides are equal."""
        self.org.faults.clear()
        self.world.workers.append(await self.world.start_worker())
        problems = [""]

        async def ended() -> bool:
            await self.world.settle(PATIENCE_SECONDS)
            await self.world.outlive_requests(PATIENCE_SECONDS)
            problems[:] = await self.problems()
            return not problems

        try:
            await until(ended, REST_SECONDS)
        except TimeoutError:
            pytest.fail("\n".join((f"seed {SEED}", *problems, *await self.world.trace())))

    async def problems(self) -> list[str]:
        """Return what keeps the sides from being equal and at rest."""
        found = [str(row) for row in await self.world.rows(UNFINISHED)]
        found += ["a push is open"] if await self.world.scalar(OPEN) else []
        for record_id in self.ids:
            view = await self.world.runtime.customers.get(record_id)
            customer = self.world.sandbox.dashboard.retrieve(
                await self.external("stripe", record_id)
            )
            contact = self.org.org.rows[await self.external("salesforce", record_id)]
            shown = {
                (view["name"], view["phone"]),
                (customer["name"], customer["phone"]),
                (contact["Name"], contact["Phone"]),
            }
            if len(shown) > 1 or not all(each["in_sync"] for each in view["external"]):
                found.append(f"{record_id}: {shown}, {view['external']}")
        return found

    async def lost(self) -> list[str]:
        """Return the last values that neither a side nor the history shows."""
        views = [await self.world.runtime.customers.get(record_id) for record_id in self.ids]
        shown = f"{json.dumps([[view['name'], view['phone']] for view in views])}"
        shown += await self.world.history()
        return [
            f"{place}: {value}" for place, value in self.last.items() if f'"{value}"' not in shown
        ]

    def pushes(self) -> int:
        stripe = sum(call.method in {"POST", "DELETE"} for call in self.world.sandbox.requests)
        return stripe + len(self.org.writes())


@asynccontextmanager
async def three_sides(database_url: str) -> AsyncIterator[ThreeSides]:
    clock = PresentClock()
    async with SalesforceSandbox(clock=clock) as org:
        org.shift_clock(SALESFORCE_AHEAD)
        others = {f"SALESFORCE_{name.upper()}": value for name, value in settings_of(org).items()}
        others |= {"SALESFORCE_POLL_SECONDS": "0.3", "STRIPE_POLL_SECONDS": "0.5"}
        opened = open_world(
            database_url, SEED, workers=0, clock=clock, theirs=STRIPE_BEHIND, others=others
        )
        async with opened as world:
            world.others = [org]
            yield ThreeSides(world, org, random.Random(SEED))


async def test_three_systems_become_equal_though_workers_are_killed(database_url: str) -> None:
    async with three_sides(database_url) as sides:
        await sides.create()
        await sides.work_until_linked()
        await sides.work_until_killed()
        await sides.at_rest()
        assert await sides.lost() == []
        assert len(sides.org.living) == len(sides.world.sandbox.dashboard.living()) == CUSTOMERS
        conflicts = (await sides.world.history()).count('"winner"')
        assert sides.pushes() <= PUSHES_FOR_EACH * (sides.causes + conflicts), f"seed {SEED}"
        pushes = sides.pushes()
        feed = "SELECT CAST(due_at AS text) FROM schedules WHERE name = 'poll:salesforce'"
        for _ in range(2):
            before = await sides.world.scalar(feed)
            await until(lambda before=before: polled(sides.world, feed, before))
        await sides.world.settle(PATIENCE_SECONDS)
        assert sides.pushes() == pushes, "a change goes back and forth"


async def polled(world: World, feed: str, before: str) -> bool:
    return bool(await world.scalar(feed) != before)
