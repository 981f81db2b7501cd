"""Stripe, the template's CRM and an example have the same customers, under faults and kills."""

import itertools
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from plugins.template.tests.crm import Crm
from tests.e2e.example_systems import (
    HELD,
    PLUGINS,
    RETRIES,
    DoorbellSystem,
    ExampleSystem,
    State,
    environment,
    running,
    writes,
)
from tests.simulation.clock import Clock
from tests.simulation.workers import POINTS
from tests.simulation.world import OPEN, PATIENCE_SECONDS, World, open_world
from tests.support.wait import until
from zenskar.http.lookalike import Fault, FaultKind
from zenskar.plugins.discovery import discover

SEED = 20
CUSTOMERS, ROUNDS = 4, 8
REST_SECONDS = 90.0
"""The time until all sides are at rest, on a busy machine."""
FAULTS = (FaultKind.DROP_ANSWER, FaultKind.DROP_REQUEST, FaultKind.SERVER_ERROR)
PUSHES_FOR_EACH = 3
"""The most pushes that a change, a fault, a kill or a conflict causes, on average."""
POLLS_OF_THE_DEAD = """
    UPDATE schedules SET due_at = now()
    WHERE name LIKE 'poll:%' AND due_at > now() + interval '5 seconds'
"""
"""A killed worker holds its polls for a minute, which passes at once."""


@dataclass
class Three:
    """The world with Stripe, and the two other systems at its connections."""

    world: World
    crm: Crm
    example: ExampleSystem
    rng: random.Random
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    causes: int = 0

    # --- the story --------------------------------------------------------------------------

    async def create_everywhere(self) -> None:
        """Create customers here and in each system, while answers are lost."""
        for _ in range(CUSTOMERS):
            self.break_something()
            await self.create_here()
        self.world.sandbox.dashboard.create(self.person() | {"metadata": {"plan": "pro"}})
        person = self.person()
        self.crm.add(full_name=person["name"], email=person["email"], phone=person["phone"])
        self.example.add(**self.person())
        self.causes += 3

    async def edit_everywhere(self) -> None:
        """Edit customers on all sides, while answers are lost and workers die."""
        sides = (self.edit_here, self.edit_stripe, self.edit_crm, self.edit_example)
        for _ in range(ROUNDS):
            self.break_something()
            self.kill_someone()
            for edit in self.rng.sample(sides, k=2):
                await edit()
                self.causes += 1
            await self.world.replace_killed()

    def person(self) -> dict[str, str]:
        number = next(self.numbers)
        return {"name": f"n{number}", "email": f"e{number}@example.com", "phone": f"+{number}"}

    def change(self) -> dict[str, str]:
        name = self.rng.choice(("name", "phone"))
        return {name: self.person()[name]}

    async def create_here(self) -> None:
        self.causes += 1
        document = self.person() | {"metadata": {"plan": "free"}}
        await self.world.customers().create(document, correlation_id="three")

    async def edit_here(self) -> None:
        rows = await self.world.rows(
            "SELECT CAST(id AS text) AS id FROM customers WHERE deleted_at IS NULL ORDER BY id"
        )
        record_id = self.rng.choice(rows)["id"]
        await self.world.customers().patch(record_id, self.change(), correlation_id="three")

    async def edit_stripe(self) -> None:
        living = sorted(str(each["id"]) for each in self.world.sandbox.dashboard.living())
        self.world.sandbox.dashboard.update(self.rng.choice(living), self.change())

    async def edit_crm(self) -> None:
        contact, change = self.rng.choice(sorted(self.crm.contacts)), self.change()
        own = {"full_name" if name == "name" else name: text for name, text in change.items()}
        self.crm.edit(contact, **own)

    async def edit_example(self) -> None:
        self.example.edit(self.rng.choice(sorted(self.example.states())), **self.change())

    def break_something(self) -> None:
        """Lose or fail the next call of a system."""
        self.causes += 1
        broken = self.rng.choice((self.world.sandbox, self.crm, self.example.system))
        broken.faults.add(Fault(kind=self.rng.choice(FAULTS)))

    def kill_someone(self) -> None:
        """Kill a worker at a failpoint, or at any await."""
        self.causes += 1
        worker = self.rng.choice(self.world.workers)
        if self.rng.random() < 0.7:
            worker.kill_at(self.rng.choice(POINTS))
        else:
            worker.kill_in(self.rng.choice((0.01, 0.1)))

    # --- the end ----------------------------------------------------------------------------

    async def at_rest(self, number: int) -> None:
        """Wait until all sides show this many customers, equal, and nothing is open."""
        self.crm.faults.clear()
        self.example.system.faults.clear()
        for worker in self.world.workers:
            worker.spare()

        async def ended() -> bool:
            await self.world.scalar(f"WITH hurried AS ({POLLS_OF_THE_DEAD} RETURNING 1) SELECT 1")
            await self.world.settle(PATIENCE_SECONDS)
            await self.world.outlive_requests(PATIENCE_SECONDS)
            return not await self.problems(number)

        try:
            await until(ended, REST_SECONDS)
        except TimeoutError:
            problems, history = await self.problems(number), await self.world.trace()
            pytest.fail("\n".join((f"seed {SEED}", *problems, *history)))

    async def problems(self, number: int) -> list[str]:
        """Return what keeps the sides from being equal and at rest."""
        found = await self.world.unfinished() if await self.world.scalar(OPEN) else []
        sides = {
            "stripe": {str(c["id"]): _state(c) for c in self.world.sandbox.dashboard.living()},
            "template": {
                name: (c["full_name"], c["email"], c["phone"])
                for name, c in self.crm.contacts.items()
            },
            self.example.name: self.example.states(),
        }
        customers = await self.customers()
        found += [
            f"{name} has {len(side)} of {number}"
            for name, side in {"zenskar": customers, **sides}.items()
            if len(side) != number
        ]
        return [*found, *(p for c in customers for p in _differences(c, sides))]

    async def customers(self) -> list[dict[str, Any]]:
        rows = await self.world.rows("SELECT CAST(id AS text) AS id FROM customers")
        views = [await self._view(row["id"]) for row in rows]
        return [view for view in views if view is not None]

    async def _view(self, record_id: str) -> dict[str, Any] | None:
        gone = "SELECT deleted_at IS NOT NULL FROM customers WHERE id = CAST(:id AS uuid)"
        if await self.world.scalar(gone, id=record_id):
            return None
        return dict(await self.world.runtime.customers.get(record_id))

    def pushes(self) -> int:
        stripe = sum(call.method in {"POST", "DELETE"} for call in self.world.sandbox.requests)
        crm = sum(call.method != "GET" for call in self.crm.requests)
        return stripe + crm + len(writes(self.example))

    async def stays_at_rest(self) -> None:
        """Wait for three more polls of every feed, and check that nothing is pushed."""
        pushes, polled = self.pushes(), "SELECT max(id) FROM sync_event_history"
        last = await self.world.scalar(polled)
        feed = "SELECT CAST(due_at AS text) FROM schedules WHERE name = 'poll:stripe'"
        for _ in range(3):
            due = await self.world.scalar(feed)

            async def polled_again(before: str = due) -> bool:
                return bool(await self.world.scalar(feed) != before)

            await until(polled_again)
        await self.world.settle(PATIENCE_SECONDS)
        assert self.pushes() == pushes
        assert await self.world.scalar(polled) == last


def _state(customer: Any) -> State:
    return tuple(customer[name] for name in HELD)


def _differences(customer: dict[str, Any], sides: dict[str, dict[str, State]]) -> list[str]:
    """Return the sides that do not show a customer as it is here."""
    external = {each["source_system"]: each for each in customer["external"]}
    here = _state(customer)
    found = [f"{customer['id']} is not at {name}" for name in sides if name not in external]
    for name, each in external.items():
        there = sides[name].get(each["external_id"])
        if there != here or not each["in_sync"]:
            found.append(f"{name}: {there}, here {here}, in sync: {each['in_sync']}")
    return found


@asynccontextmanager
async def three(database_url: str, name: str) -> AsyncIterator[Three]:
    """Run the world with the CRM and an example beside Stripe."""
    clock = Clock()
    async with AsyncExitStack() as stack:
        crm = await stack.enter_async_context(Crm(clock=clock, webhook_retries=RETRIES))
        example = await stack.enter_async_context(running(name, clock))
        others = {f"TEMPLATE_{key}".upper(): text for key, text in crm.settings.items()}
        plugins = {**discover(), name: PLUGINS[name]}
        opened = open_world(
            database_url,
            SEED,
            plugins=plugins,
            clock=clock,
            others=others | environment(example),
            propagate_deletes=True,
        )
        world = await stack.enter_async_context(opened)
        crm.send_webhooks_to(f"{world.webhook_url}template")
        if isinstance(example, DoorbellSystem):
            example.system.send_webhooks_to(f"{world.webhook_url}doorbell")
        world.others = [crm, example.system]
        yield Three(world, crm, example, random.Random(SEED))


@pytest.mark.parametrize("name", ["doorbell", "cardfile"])
async def test_three_systems_become_equal(database_url: str, name: str) -> None:
    async with three(database_url, name) as systems:
        await systems.create_everywhere()
        await systems.at_rest(CUSTOMERS + 3)
        await systems.edit_everywhere()
        await systems.at_rest(CUSTOMERS + 3)
        systems.example.system.remove(systems.rng.choice(sorted(systems.example.states())))
        systems.causes += 1
        await systems.at_rest(CUSTOMERS + 2)
        plans = [customer["metadata"].get("plan") for customer in await systems.customers()]
        assert plans.count("free") >= CUSTOMERS - 1, f"seed {SEED}: {plans}"
        await systems.stays_at_rest()
        conflicts = (await systems.world.history()).count('"winner"')
        most = PUSHES_FOR_EACH * (systems.causes + conflicts)
        assert systems.pushes() <= most, f"seed {SEED}"
        assert systems.world.kills > 0
