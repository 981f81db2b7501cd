"""Follow one push through the code: which rooms it visits, and where a call points upwards.

A room is a package below `zenskar`, and each feature of `sync`; the database is one. A climb is a
call from a room into one that lies above it: into a part that was handed down.
"""

import asyncio
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from tests.support.flow import Flow, open_flow, running_worker

ROOT = Path(__file__).parents[3]
MOST_ROOMS, MOST_CLIMBS = 10, 2
WALKERS = ("OutboundConsumer._handle", "Batcher._run")
"""The tasks that carry a delivery."""
THROUGH = {"zenskar.db.driver.engine", "zenskar.bus.batcher"}
"""They call back the function that is given to them."""
BELOW_ALL = {"telemetry", "settings", "resources", "ids", "errors", "networks"}


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
def calls() -> Iterator[set[tuple[str, str]]]:
    """Collect the modules that call each other while a delivery is carried."""
    found: set[tuple[str, str]] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        module = str(frame.f_globals.get("__name__"))
        if event != "call" or not module.startswith("zenskar.") or module in THROUGH:
            return
        task = asyncio.current_task()
        if task is not None and getattr(task.get_coro(), "__qualname__", "") in WALKERS:
            found.add((caller_of(frame), module))

    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)


def caller_of(frame: FrameType) -> str:
    """Return the module of the product that calls a frame, the frame's own at the start."""
    own, back = str(frame.f_globals["__name__"]), frame.f_back
    while back is not None:
        module = str(back.f_globals.get("__name__"))
        if module.startswith("zenskar.") and module not in THROUGH:
            return module
        back = back.f_back
    return own


async def follow_a_create_and_an_update(flow: Flow) -> set[tuple[str, str]]:
    record_id = await flow.create()
    with calls() as found:
        async with running_worker(flow.runtime, "outbound"):
            await flow.settle()
            await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="test")
            await flow.settle()
    return found


async def test_a_push_visits_few_rooms_and_hardly_climbs(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        found = await follow_a_create_and_an_update(flow)
        (held,) = flow.systems["fake"].objects.values()
    assert held is not None
    assert held["name"] == "Eve"
    rooms = {room for _, module in found if (room := room_of(module))}
    assert {"worker", "sync/outbound", "sync/work", "kernel", "plugins", "db"} < rooms
    assert len(rooms) <= MOST_ROOMS, rooms
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    climbs = {
        (caller, module)
        for caller, module in found
        if height_of(module, contracts) > height_of(caller, contracts)
    }
    assert len(climbs) <= MOST_CLIMBS, climbs
