"""The catalog, Stripe and Salesforce stay equal under edits on all sides and faults."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.stack import API_KEY, SECRET, Stack, open_stack
from tests.support.wait import until
from zenskar_salesforce.sandbox import SalesforceSandbox, settings_of
from zenskar_stripe.sandbox import Fault, FaultKind, StripeSandbox

CUSTOMERS, EDITS = 4, 24
STRIPE_FAULTS = (FaultKind.DROP_ANSWER, FaultKind.DROP_REQUEST, FaultKind.SERVER_ERROR)
ORG_FAULTS = (FaultKind.DROP_ANSWER, FaultKind.DROP_REQUEST, FaultKind.TRUNCATE)


@dataclass
class ThreeSystems:
    """A runtime between both sandboxes, and the edits so far."""

    zenskar: Stack
    stripe: StripeSandbox
    org: SalesforceSandbox
    rng: random.Random
    edits: int = 0
    faults: int = 0
    ids: list[str] = field(default_factory=list)

    async def edit(self) -> None:
        """Change one field of one customer on one side, sometimes with a fault."""
        number = self.rng.randrange(CUSTOMERS)
        made = f"{number} {self.rng.randrange(10**6)}"
        self._break()
        side = self.rng.choice((self._here, self._in_stripe, self._in_salesforce))
        await side(number, made)
        self.edits += 1

    async def _here(self, number: int, made: str) -> None:
        await self.zenskar.ask("PATCH", f"/customers/{self.ids[number]}", {"phone": f"+1 {made}"})

    async def _in_stripe(self, number: int, made: str) -> None:
        external = (await self.external(number))["stripe"]
        self.stripe.dashboard.update(external, {"name": f"Stripe {made}"})

    async def _in_salesforce(self, number: int, made: str) -> None:
        external = (await self.external(number))["salesforce"]
        self.org.edit(external, FirstName="Sales", LastName=f"Force {made}", MailingCity=made)

    def _break(self) -> None:
        if self.rng.random() < 0.4:
            self.stripe.faults.add(Fault(kind=self.rng.choice(STRIPE_FAULTS)))
            self.faults += 1
        if self.rng.random() < 0.4:
            self.org.faults.add(Fault(kind=self.rng.choice(ORG_FAULTS)))
            self.faults += 1

    async def external(self, number: int) -> Mapping[str, str]:
        found = await self.zenskar.customer(self.ids[number])
        return {each["source_system"]: each["external_id"] for each in found["external"]}

    async def equal(self) -> bool:
        """Return whether all sides show the same, each in its own form."""
        for number, customer_id in enumerate(self.ids):
            ours = await self.zenskar.customer(customer_id)
            if not all(each["in_sync"] for each in ours["external"]):
                return False
            external = await self.external(number)
            theirs = self.stripe.dashboard.retrieve(external["stripe"])
            contact = self.org.org.rows[external["salesforce"]]
            if {(each["name"], each["phone"]) for each in (ours, theirs)} != {
                (contact["Name"], contact["Phone"])
            }:
                return False
        return True

    def writes(self) -> int:
        """Return the number of writing calls at both sandboxes."""
        to_stripe = [each for each in self.stripe.requests if each.method != "GET"]
        return len(to_stripe) + len(self.org.writes())


@pytest.fixture
async def three(database_url: str) -> AsyncIterator[ThreeSystems]:
    async with open_three(database_url, seed=7) as systems:
        yield systems


@asynccontextmanager
async def open_three(database_url: str, seed: int) -> AsyncIterator[ThreeSystems]:
    async with (
        StripeSandbox(api_key=API_KEY, webhook_retry_base=0.05) as stripe,
        SalesforceSandbox() as org,
    ):
        stripe.shift_clock(-20)
        org.shift_clock(15.0)
        settings = {f"SALESFORCE_{name.upper()}": text for name, text in settings_of(org).items()}
        environment = {
            **settings,
            "ZENSKAR_CONNECTIONS": "stripe,salesforce",
            "SALESFORCE_POLL_SECONDS": "0.3",
        }
        async with open_stack(database_url, stripe.base_url, environment) as zenskar:
            stripe.add_webhook_endpoint(zenskar.webhook_url, SECRET)
            yield ThreeSystems(zenskar, stripe, org, random.Random(seed))


async def test_three_systems_become_equal_under_faults(three: ThreeSystems) -> None:
    made = [
        await three.zenskar.create(
            name=f"Person {n}", email=f"p{n}@example.com", metadata={"n": "1"}
        )
        for n in range(CUSTOMERS)
    ]
    three.ids += [each["id"] for each in made]
    await until(three.equal)
    first = three.writes()
    assert first == 2 * CUSTOMERS
    for _ in range(EDITS):
        await three.edit()
        await asyncio.sleep(0)
    three.stripe.faults.clear()
    three.org.faults.clear()
    await until(three.equal)
    await three.zenskar.settled()
    await three.stripe.settle()
    await until(three.equal)

    conflicts = await conflicts_of(three.zenskar)
    most = 2 * (three.edits + conflicts) + three.faults
    assert three.writes() - first <= most, "a change goes back and forth"
    assert len(three.org.living) == CUSTOMERS
    everyone = (await three.zenskar.ask("GET", "/customers?limit=100"))["data"]
    assert [each["metadata"] for each in everyone] == [{"n": "1"}] * CUSTOMERS
    dead = [each for each in await three.zenskar.events("limit=200") if each["status"] == "dead"]
    assert dead == []


async def conflicts_of(zenskar: Stack) -> int:
    """Return the number of sync events whose history has a conflict."""
    found = 0
    for event in await zenskar.events("limit=200"):
        history: list[dict[str, Any]] = (await zenskar.ask("GET", f"/sync-events/{event['id']}"))[
            "history"
        ]
        found += any("conflict" in str(entry) for entry in history)
    return found
