"""The look-alikes of the examples, for tests that treat both alike."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files

from examples.cardfile.tests.cardfile import Cardfile
from examples.doorbell.tests.doorbell import Doorbell
from zenskar import BaseIntegration
from zenskar.http.lookalike import DeliveryRetries
from zenskar.plugins.discovery import Plugin
from zenskar.schema_catalog import load_folder
from zenskar_cardfile import CardfileIntegration
from zenskar_doorbell import DoorbellIntegration

RETRIES = DeliveryRetries(base=0.02, attempts=50, longest=0.2)
HELD = ("name", "email", "phone")
"""The fields that both systems hold."""
State = tuple[str | None, ...]
MEMBERS = {"name": "display_name", "email": "mail", "phone": "phone"}
"""The members of a person of Doorbell, by our fields."""
KINDS = {"email": "mail", "phone": "phone"}
"""The kinds of items of a card of Cardfile, by our fields."""


def plugin(name: str, kind: type[BaseIntegration]) -> Plugin:
    """Return the plugin as its entry point would make it."""
    schemas = load_folder(files(kind.__module__) / "schemas")
    return Plugin(name, f"zenskar-{name}", "0.1.0", kind, schemas=schemas)


PLUGINS = {
    "doorbell": plugin("doorbell", DoorbellIntegration),
    "cardfile": plugin("cardfile", CardfileIntegration),
}


@dataclass
class DoorbellSystem:
    """A Doorbell whose people are edited by the names of our fields."""

    system: Doorbell
    name: str = "doorbell"
    variables: dict[str, str] = field(default_factory=dict)

    def add(self, **fields: str | None) -> str:
        return self.system.add(**{MEMBERS[name]: text for name, text in fields.items()})

    def edit(self, external_id: str, **fields: str | None) -> None:
        own = {MEMBERS[name]: text for name, text in fields.items()}
        self.system.edit(external_id, **own)

    def states(self) -> dict[str, State]:
        members = MEMBERS.values()
        people = self.system.people.items()
        return {name: tuple(person[each] for each in members) for name, person in people}


@dataclass
class CardfileSystem:
    """A Cardfile whose cards are edited by the names of our fields."""

    system: Cardfile
    name: str = "cardfile"
    variables: dict[str, str] = field(default_factory=lambda: {"CARDFILE_POLL_SECONDS": "0.05"})

    def add(self, name: str, **fields: str) -> str:
        return self.system.add(name, **{KINDS[each]: text for each, text in fields.items()})

    def edit(self, external_id: str, name: str | None = None, **fields: str | None) -> None:
        own = {KINDS[each]: text for each, text in fields.items()}
        self.system.edit(external_id, name, **own)

    def states(self) -> dict[str, State]:
        cards, item = self.system.cards, self.system.item
        return {k: (card["title"], item(k, "mail"), item(k, "phone")) for k, card in cards.items()}


ExampleSystem = DoorbellSystem | CardfileSystem


@asynccontextmanager
async def running(name: str, clock: Callable[[], float]) -> AsyncIterator[ExampleSystem]:
    """Run the look-alike of an example."""
    if name == "doorbell":
        async with Doorbell(clock=clock, webhook_retries=RETRIES) as doorbell:
            yield DoorbellSystem(doorbell)
        return
    async with Cardfile(clock=clock) as cardfile:
        yield CardfileSystem(cardfile)


def environment(external: ExampleSystem) -> dict[str, str]:
    """Return the settings of a connection to a look-alike."""
    given = external.system.settings.items()
    own = {f"{external.name}_{name}".upper(): value for name, value in given}
    return {**own, **external.variables}


def writes(external: ExampleSystem) -> list[str]:
    """Return the methods of the writing calls, in order."""
    return [call.method for call in external.system.requests if call.method != "GET"]
