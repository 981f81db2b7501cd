"""What must hold at rest, whatever happened before. Each breach is one readable line."""

from collections import Counter
from typing import Any

from tests.simulation.story import Memory
from tests.simulation.world import World
from zenskar.model.fields import CUSTOMER, flatten

_PUSHES_FOR_EACH = 6
_PUSHES_ANYWAY = 20


async def breaches(world: World, memory: Memory) -> list[str]:
    """Return every breach."""
    records = await world.rows("SELECT *, CAST(id AS text) AS key FROM customers")
    mappings = await world.rows("SELECT *, CAST(entity_id AS text) AS key FROM external_mappings")
    outside = {seen["id"]: seen for seen in world.sandbox.dashboard.living()}
    found = [
        *_equal(records, mappings, outside),
        *_one_to_one(records, mappings, outside),
        *_nobody_made_twice(records, memory),
        *await _final(world),
        *await _remembered(world, memory, records, outside),
    ]
    pushes = sum(call.method in {"POST", "DELETE"} for call in world.sandbox.requests)
    causes = len(memory.written) + len(memory.local) + memory.faults + world.kills
    conflicts = (await world.history()).count('"winner"')
    if pushes > _PUSHES_ANYWAY + _PUSHES_FOR_EACH * (causes + conflicts):
        found.append(f"{pushes} pushes for {causes} causes and {conflicts} conflicts")
    return found


def _equal(
    records: list[dict[str, Any]],
    mappings: list[dict[str, Any]],
    outside: dict[str, dict[str, Any]],
) -> list[str]:
    """Both sides are equal, and so is the base."""
    active = {m["key"]: m for m in mappings if m["state"] == "active"}
    found = []
    for record in records:
        mapping = active.get(record["key"])
        if record["deleted_at"] is not None:
            if mapping is not None:
                found.append(f"deleted {record['key']} is still mapped")
            continue
        if mapping is None or mapping["external_id"] not in outside:
            found.append(f"{record['key']} has no live object outside")
            continue
        here = flatten(CUSTOMER, record)
        there = _fields(outside[mapping["external_id"]])
        if not here == there == mapping["base"]:
            found.append(f"{record['key']}: {here} here, {there} there, base {mapping['base']}")
    return found


def _one_to_one(
    records: list[dict[str, Any]],
    mappings: list[dict[str, Any]],
    outside: dict[str, dict[str, Any]],
) -> list[str]:
    """No object outside is left alone, and no record has two."""
    known = {m["external_id"]: m for m in mappings}
    found = [f"nobody knows {i}" for i in outside if i not in known]
    dead = {r["key"] for r in records if r["deleted_at"] is not None}
    found += [
        f"{i} lives though its tombstone is not detached"
        for i in outside
        if i in known and known[i]["state"] == "deleted" and not known[i]["detached"]
    ]
    owners = Counter(seen["metadata"].get("zenskar_id") for seen in outside.values())
    found += [
        f"{count} objects outside carry {owner}"
        for owner, count in owners.items()
        if owner and count > 1 and owner not in dead
    ]
    return found


def _nobody_made_twice(records: list[dict[str, Any]], memory: Memory) -> list[str]:
    most = len(memory.local) + len(memory.external)
    return [f"{len(records)} records of {most}"] if len(records) > most else []


async def _final(world: World) -> list[str]:
    rows = await world.rows(
        "SELECT status, event_type, error_kind, error_message FROM sync_events"
        " WHERE status NOT IN ('succeeded', 'ignored')"
    )
    return [f"{row}" for row in rows]


async def _remembered(
    world: World,
    memory: Memory,
    records: list[dict[str, Any]],
    outside: dict[str, dict[str, Any]],
) -> list[str]:
    """What was written is there, or the history tells what became of it."""
    living = {r["key"] for r in records if r["deleted_at"] is None} | set(outside)
    present = f"{records}{list(outside.values())}{await world.history()}"
    return [
        f"the {one.side} value {one.value} is lost"
        for one in memory.written
        if one.whose in living
        and f"'{one.value}'" not in present
        and f'"{one.value}"' not in present
    ]


def _fields(seen: dict[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in seen["metadata"].items() if not k.startswith("zenskar_")}
    return flatten(CUSTOMER, {**seen, "metadata": metadata})
