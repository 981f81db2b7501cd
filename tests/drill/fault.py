"""A fault of the drill: its cause, the alert that it must fire, and the acts that end it."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.drill.scene import Scene
from tests.drill.table import Row
from tests.kafka.rest import Found, rest
from tests.simulation.invariants import doubled, unequal
from tests.simulation.story import Memory

Act = Callable[[Scene], Awaitable[None]]
QUIET_SECONDS = 15.0
_SILENCE_SECONDS = 420.0
_REST_SECONDS = 240.0
BEHIND_DATABASE = frozenset(
    {
        *("ZenskarNotReady", "ZenskarTargetDown", "ZenskarApiErrors"),
        *("ZenskarWebhooksUnavailable", "ZenskarOutboundSlow"),
    }
)
"""The alerts of the parts that cannot work without the database."""
_RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks.md"


async def nothing(_scene: Scene) -> None:
    """Do nothing: the fault ends without a person."""


@dataclass(frozen=True)
class Fault:
    """A fault. Without an `alert` it needs no person, and must not fire one in `lasts_seconds`.

    `heal` ends the fault by the runbook of its alert. A fault with an alert that heals alone has
    its `end` instead: the outage of another system is over. No alert fires besides its own and
    `also`, those of parts that the fault takes with it. A fault that `forgets` loses the history,
    where webhooks leave their trace. The folder `disk` of the scene is a small disk of its own.
    """

    name: str
    cause: Act
    alert: str = ""
    within_seconds: float = 90.0
    lasts_seconds: float = 30.0
    heal: Act | None = None
    end: Act = nothing
    also: frozenset[str] = frozenset()
    forgets: bool = False
    disk: str = ""

    async def run(self, scene: Scene) -> Row:
        """Cause the fault under load, wait for its alert, end it, and compare both sides."""
        watch = scene.watch
        await self._quiet(scene)
        watch.begin()
        await self.cause(scene)
        if self.alert:
            await watch.alert(self.alert, self.within_seconds)
        else:
            await asyncio.sleep(self.lasts_seconds)
            assert not watch.fired, f"{sorted(watch.fired)} fired"
        await (self.heal or self.end)(scene)
        ended = time.monotonic()
        await watch.silence(_SILENCE_SECONDS)
        silent = time.monotonic() - ended
        scene.clients.stop()
        found = await rest(scene.topology, _REST_SECONDS, traced=not self.forgets)
        self._check_runbook(scene)
        fired = dict(watch.fired)
        others = fired.keys() - {self.alert} - self.also
        assert not others, f"{sorted(others)} fired besides {self.alert}"
        return self._row(scene, found, fired, silent)

    async def _quiet(self, scene: Scene) -> None:
        """Wait while the clients work: no alert fires."""
        scene.watch.begin()
        await asyncio.sleep(QUIET_SECONDS)
        assert not scene.watch.fired, f"{sorted(scene.watch.fired)} fired without a fault"

    def _check_runbook(self, scene: Scene) -> None:
        """Check that the runbook of the alert names each command that ended the fault."""
        section = _RUNBOOKS.read_text().partition(f"## {self.alert}\n")[2].partition("\n## ")[0]
        for words in scene.commands:
            begin = " ".join(words[:2]).replace("stripe", "NAME")
            assert f"zenskar {begin}" in section, f"{self.alert}: {words}"

    def _row(self, scene: Scene, found: Found, fired: dict[str, float], silent: float) -> Row:
        memory = Memory(local=scene.clients.made, external=scene.made_there)
        known = {record["key"] for record in found.sides.records}
        alive = {record["key"] for record in found.sides.records if record["deleted_at"] is None}
        missing = [made for made in scene.clients.made if made not in known]
        missing += [deleted for deleted in scene.clients.deleted if deleted in alive]
        untraced = [] if self.forgets else found.untraced
        return Row(
            fault=self.name,
            sign=scene.watch.sign or "none",
            alert=self.alert,
            seconds=fired.get(self.alert),
            others=sorted(fired.keys() - {self.alert}),
            healed="a person" if self.heal else "alone",
            silent_seconds=silent,
            lost=len(missing) + len(unequal(found.sides)) + len(untraced),
            doubled=len(doubled(found.sides, memory)),
        )


def slug(name: str) -> str:
    """Return the name of a fault as `make drill ONLY=...` takes it."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
