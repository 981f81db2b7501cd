"""Follow a message through the code: the modules it visits, and the calls that point upwards.

A room is a package below `zenskar`, and each feature of `sync`; the database is one. A climb is a
call from a room into one that lies above it: into a part that was handed down.
"""

import asyncio
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[2]
THROUGH = {"zenskar.db.driver.engine", "zenskar.bus.batcher"}
"""They call back the function that is given to them."""
BELOW_ALL = {"telemetry", "settings", "resources", "ids", "errors", "networks"}


@dataclass
class Walk:
    """The calls between modules while a message is carried, each as caller and callee."""

    calls: set[tuple[str, str]] = field(default_factory=set)

    @property
    def files(self) -> set[str]:
        """The modules that the message visits; those of mere values and functions count too."""
        return {module for _, module in self.calls}

    @property
    def rooms(self) -> set[str]:
        """The rooms that the message visits, without those that every room may use."""
        return {room for module in self.files if (room := room_of(module))}

    @property
    def climbs(self) -> set[tuple[str, str]]:
        """The calls into a room above."""
        contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
            "contracts"
        ]
        return {
            (caller, module)
            for caller, module in self.calls
            if height_of(module, contracts) > height_of(caller, contracts)
        }


def height_of(module: str, contracts: list[dict[str, Any]]) -> tuple[int, ...]:
    """Return the place of a module in the import contract's layers, larger for a higher one."""
    places = []
    for container in ("zenskar", "zenskar.sync"):
        (layers,) = (
            each["layers"] for each in contracts if container in each.get("containers", ())
        )
        if module.startswith(f"{container}."):
            name = module.removeprefix(f"{container}.").split(".")[0]
            (place,) = (n for n, layer in enumerate(layers) if name in layer.split(" | "))
            places.append(-place)
    return tuple(places)


def room_of(module: str) -> str | None:
    """Return the room of a module; None for modules that every room may use."""
    _, room, *rest = module.split(".")
    if room in BELOW_ALL or room == "schema_catalog":
        return None
    return f"{room}/{rest[0]}" if room == "sync" and len(rest) > 1 else room


@contextmanager
def followed(*walkers: str) -> Iterator[Walk]:
    """Follow the tasks whose coroutines have these names; they carry the message."""
    walk = Walk()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        module = str(frame.f_globals.get("__name__"))
        if event != "call" or not module.startswith("zenskar.") or module in THROUGH:
            return
        if current_walker() in walkers:
            walk.calls.add((caller_of(frame), module))

    sys.setprofile(note)
    try:
        yield walk
    finally:
        sys.setprofile(None)


def current_walker() -> str:
    """Return the name of the coroutine of the current task, empty without a task."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return ""
    return getattr(task.get_coro(), "__qualname__", "") if task is not None else ""


def caller_of(frame: FrameType) -> str:
    """Return the module of the product that calls a frame, the frame's own at the start."""
    own, back = str(frame.f_globals["__name__"]), frame.f_back
    while back is not None:
        module = str(back.f_globals.get("__name__"))
        if module.startswith("zenskar.") and module not in THROUGH:
            return module
        back = back.f_back
    return own
