"""The invariants at rest, after any history. Each breach is one readable line."""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.beside import unequal_beside
from tests.simulation.emptied import ENTRIES, wrong_fields
from tests.simulation.memory import Memory, Restored
from tests.simulation.world import PATIENCE_SECONDS, World
from zenskar.model.fields import CUSTOMER, flatten, keep, name_of
from zenskar_stripe.sandbox import FaultKind

_LATE = (FaultKind.DROP_REQUEST, FaultKind.ZOMBIE)
_PUSHES_FOR_EACH = 6
_PUSHES_ANYWAY = 20
_QUOTED = re.compile(r"""(?<=['"])[\w@.+-]+(?=['"])""")

RECORDS = "SELECT *, CAST(id AS text) AS key FROM customers"
MAPPINGS = (
    "SELECT *, CAST(entity_id AS text) AS key FROM external_mappings WHERE source_system = 'stripe'"
)
_MAPPINGS_BESIDE = MAPPINGS.replace("stripe", "salesforce")
_PUSHES = "SELECT CAST(id AS text) AS id, CAST(entity_id AS text) AS key, changes FROM push_intents"
OPEN_PUSHES = "SELECT id, kind, state, changes FROM push_intents WHERE state IN ('sent', 'unknown')"
UNFINISHED = (
    "SELECT status, event_type, error_kind, error_message FROM sync_events"
    " WHERE status NOT IN ('succeeded', 'ignored')"
)


@dataclass(frozen=True)
class Sides:
    """Both sides and the history between them, at rest."""

    records: list[dict[str, Any]]
    mappings: list[dict[str, Any]]
    outside: dict[str, dict[str, Any]]
    history: str
    unfinished: list[dict[str, Any]]
    pushes: int
    kills: int
    held: frozenset[str] = CUSTOMER.names
    """The fields that the external system holds."""
    names_only: bool = False
    """Whether values and writers between two fetches are unseen."""
    open_pushes: list[dict[str, Any]] = field(default_factory=list)
    out_of_sync: list[str] = field(default_factory=list)
    returned: frozenset[str] = frozenset()
    """The ids of the objects that were restored outside."""
    contacts: dict[str, dict[str, Any]] | None = None
    """The living contacts of the org beside, None without an org."""
    contact_mappings: list[dict[str, Any]] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    """The history entries with their record, their object and their detail."""
    late_pushes: list[dict[str, Any]] = field(default_factory=list)
    """The pushes whose request was lost or arrived late."""

    @property
    def conflicts(self) -> int:
        """The number of values that lost against the other side."""
        return self.history.count('"winner"')


async def breaches(
    world: World,
    memory: Memory,
    held: frozenset[str] = CUSTOMER.names,
    *,
    names_only: bool = False,
    patience: float = PATIENCE_SECONDS,
) -> list[str]:
    """Return every breach, once no request without an answer can arrive."""
    await world.outlive_requests(patience)
    sides = Sides(
        records=await world.rows(RECORDS),
        mappings=await world.rows(MAPPINGS),
        outside={seen["id"]: seen for seen in world.sandbox.dashboard.living()},
        history=await world.history(),
        unfinished=await world.rows(UNFINISHED),
        pushes=sum(call.method in {"POST", "DELETE"} for call in world.sandbox.requests)
        + (0 if world.org is None else len(world.org.sandbox.writes())),
        kills=world.kills,
        held=held,
        names_only=names_only,
        open_pushes=await world.rows(OPEN_PUSHES),
        out_of_sync=await world.out_of_sync(),
        returned=frozenset(memory.returned),
        contacts=None if world.org is None else world.org.contacts(),
        contact_mappings=await world.rows(_MAPPINGS_BESIDE),
        entries=await world.rows(ENTRIES),
        late_pushes=await _late_pushes(world),
    )
    return breaches_between(sides, memory)


async def _late_pushes(world: World) -> list[dict[str, Any]]:
    prompt = {c.idempotency_key for c in world.sandbox.requests if c.fault not in _LATE}
    return [push for push in await world.rows(_PUSHES) if push["id"] not in prompt]


def breaches_between(sides: Sides, memory: Memory) -> list[str]:
    """Return every breach between two sides at rest."""
    causes = len(memory.written) + len(memory.local) + memory.faults + sides.kills
    causes += memory.effects.total()
    most = _PUSHES_ANYWAY + _PUSHES_FOR_EACH * (causes + sides.conflicts)
    return [
        *unequal(sides),
        *unequal_at_salesforce(sides),
        *erased(sides, memory),
        *doubled(sides, memory),
        *risen(sides, memory),
        *(f"{row}" for row in sides.unfinished),
        *(f"the push {row} is open" for row in sides.open_pushes),
        *(f"{record_id} is not in sync, it says" for record_id in sides.out_of_sync),
        *reverted(sides, memory),
        *lost(sides, memory),
        *wrong_fields(
            sides.records,
            [*sides.mappings, *sides.contact_mappings],
            sides.entries,
            memory,
            sides.held,
            names_only=sides.names_only,
        ),
        *([f"{sides.pushes} pushes, at most {most}"] if sides.pushes > most else []),
    ]


def unequal(sides: Sides) -> list[str]:
    """Both sides are equal, and so is the base.

    A restored object of a record that was deleted here stays alone.
    """
    active = {m["key"]: m for m in sides.mappings if m["state"] == "active"}
    found = []
    for record in sides.records:
        mapping = active.get(record["key"])
        if record["deleted_at"] is not None:
            if mapping is not None:
                found.append(f"deleted {record['key']} is still mapped")
            continue
        if mapping is None or mapping["external_id"] not in sides.outside:
            found.append(f"{record['key']} has no live object outside")
            continue
        here = flatten(CUSTOMER, record)
        there = _fields(sides.outside[mapping["external_id"]])
        base, about = mapping["base"], mapping["carried"] or CUSTOMER.names
        shared = keep(sides.held, here) == keep(sides.held, there)
        if not shared or keep(about, here) != base:
            found.append(f"{record['key']}: {here} here, {there} there, base {base}")
    known = {m["external_id"]: m for m in sides.mappings}
    found += [f"nobody knows {i}" for i in sides.outside if i not in known]
    found += [
        f"{i} lives though its tombstone is not detached"
        for i in sides.outside
        if i in known and known[i]["state"] == "deleted" and not known[i]["detached"]
        if known[i]["ended_record"] or i not in sides.returned
    ]
    return found


def unequal_at_salesforce(sides: Sides) -> list[str]:
    """Each living record has an equal contact in the org beside, if there is an org."""
    if sides.contacts is None:
        return []
    return unequal_beside(sides.records, sides.contact_mappings, sides.contacts)


def erased(sides: Sides, memory: Memory) -> list[str]:
    """A field that the external system does not hold has the last value written here."""
    last = {
        (one.whose, one.path): one.value
        for one in memory.written
        if one.side == "internal" and one.path and name_of(one.path) not in sides.held
    }
    records = {record["key"]: flatten(CUSTOMER, record) for record in sides.records}
    return [
        f"{whose} has {records[whose].get(path)} at {path}, and was given {value}"
        for (whose, path), value in last.items()
        if whose in records and not _holds(records[whose].get(path), value)
    ]


def doubled(sides: Sides, memory: Memory) -> list[str]:
    """No record has two external objects, and no customer exists twice."""
    dead = {r["key"] for r in sides.records if r["deleted_at"] is not None}
    owners = Counter(seen["metadata"].get("zenskar_id") for seen in sides.outside.values())
    found = [
        f"{count} objects outside carry {owner}"
        for owner, count in owners.items()
        if owner and count > 1 and owner not in dead
    ]
    most = len(memory.local) + len(memory.external)
    if len(sides.records) > most:
        found.append(f"{len(sides.records)} records of {most}")
    return found


def risen(sides: Sides, memory: Memory) -> list[str]:
    """No record was made of an object that was deleted long before its first event."""
    owned = {m["external_id"] for m in sides.mappings if m["entity_id"] is not None}
    return [f"{name} was deleted, and got a record" for name in sorted(memory.ghosts & owned)]


def reverted(sides: Sides, memory: Memory) -> list[str]:
    """An external edit without a competing edit is applied, after any pushes.

    Where only names are seen, such an edit looks like a push that arrives late. Elsewhere it may
    look so while such a push can arrive; then the history records the conflict (rule 6).
    """
    if sides.names_only:
        return []
    return [
        f"the edit of {record['key']} back to {one.value} is reverted"
        for due in [{one.whose: one for one in memory.restored}]
        for record in sides.records
        if (one := due.get(record["key"])) is not None
        and record["deleted_at"] is None
        and name_of(one.path) in sides.held
        and flatten(CUSTOMER, record).get(one.path) != one.value
        and not _taken_for_late_push(sides, one)
    ]


def _taken_for_late_push(sides: Sides, one: Restored) -> bool:
    details = [json.loads(e["detail"]) for e in sides.entries if e["record"] == one.whose]
    recorded = any(
        (conflict["path"], conflict["external"]) == (one.path, one.value)
        for detail in details
        for conflict in detail.get("conflicts", ())
    )
    return recorded and any(
        push["key"] == one.whose and json.loads(push["changes"]).get(one.path) == one.value
        for push in sides.late_pushes
    )


def lost(sides: Sides, memory: Memory) -> list[str]:
    """A written value exists, or the history records its loss.

    A detached object of a deleted record has no owner, and fields that the integration does not
    see are not checked.
    """
    living = {r["key"] for r in sides.records if r["deleted_at"] is None}
    mappings = [*sides.mappings, *sides.contact_mappings]
    living |= {m["external_id"] for m in mappings if m["state"] == "active"}
    present = f"{sides.records}{list(sides.outside.values())}{sides.history}"
    values = set(_QUOTED.findall(present))
    return [
        f"the {one.side} value {one.value} is lost"
        for one in memory.written
        if one.value is not None and one.side != "unheard"
        if one.whose in living and one.value not in values
        if one.side == "internal"
        or (not sides.names_only and (not one.path or name_of(one.path) in sides.held))
    ]


def _holds(present: Any, value: str | None) -> bool:
    """Whether a field has a value; an address has it as a member."""
    return value in present.values() if isinstance(present, dict) else present == value


def _fields(seen: dict[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in seen["metadata"].items() if not k.startswith("zenskar_")}
    return flatten(CUSTOMER, {**seen, "metadata": metadata})
