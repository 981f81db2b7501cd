"""The edits of persons on both sides: values set, changed and emptied, whole replacements."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tests.simulation.memory import Act, Memory, Restored, Written, leaves
from tests.simulation.world import World
from zenskar.catalog.service import StaleVersion
from zenskar.errors import NotFound
from zenskar.model.fields import CUSTOMER, flatten

_FORMS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "name": lambda v: {"name": v},
    "phone": lambda v: {"phone": v},
    "metadata": lambda v: {"metadata": {"k": v}},
    "keys": lambda v: {"metadata": {key: f"{v}{key}" for key in "klm"}},
    "swap": lambda v: {"metadata": {"k": None, "l": f"{v}l"}},
    "address": lambda v: {"address": {"line1": f"{v}street", "city": f"{v}city"}},
    "city": lambda v: {"address": {"city": v}},
    "no_name": lambda _: {"name": None},
    "no_email": lambda _: {"email": None},
    "no_phone": lambda _: {"phone": None},
    "no_key": lambda _: {"metadata": {"k": None}},
    "no_metadata": lambda _: {"metadata": dict.fromkeys("klm")},
    "no_address": lambda _: {"address": None},
}
_ONLY_OUTSIDE = ("no_name", "no_email")
"""The catalog refuses a customer without a name or an email address, and Stripe does not."""
FORMS = ("name", "phone", "metadata", *(name for name in _FORMS if name not in _ONLY_OUTSIDE))
"""The forms of an edit here; the plain ones are drawn twice as often."""
FORMS_OUTSIDE = (*FORMS, *_ONLY_OUTSIDE)
EMPTYINGS = tuple(name for name in FORMS if name.startswith("no_"))
BACK = ("name", "phone", "metadata")
REPLACEMENTS = ("whole", "bare", "blind")
_QUIET_SECONDS = 3.0
_OWNER = """
    SELECT CAST(entity_id AS text) FROM external_mappings
    WHERE external_id = :external_id AND state = 'active'
"""
_IDS = "SELECT CAST(id AS text) AS id FROM customers WHERE deleted_at IS NULL"


def change(act: Act) -> dict[str, Any]:
    """Return the merge patch of an edit."""
    return _FORMS[act.what](act.value)


async def edit(world: World, act: Act, memory: Memory) -> bool:
    """Patch a record."""
    record_id = await anybody_here(world, act)
    return record_id is not None and await _edit_here(world, act, memory, record_id)


async def edit_outside(world: World, act: Act, memory: Memory) -> bool:
    """Edit an object."""
    external_id = await anybody_outside(world, act)
    if external_id is None:
        return False
    memory.forget(await owner_of(world, external_id))
    # A worker may have deleted the object in the meantime.
    return is_living(world, external_id) and _edit_there(world, act, memory, external_id)


async def empty_both(world: World, act: Act, memory: Memory) -> bool:
    """Empty a field of a record and of its object at once, if possible the drawn one."""
    await world.quiet(_QUIET_SECONDS)
    external_id = await anybody_outside(world, act)
    record_id = await owner_of(world, external_id)
    if external_id is None or record_id is None:
        return False
    known = flatten(CUSTOMER, world.sandbox.dashboard.retrieve(external_id))
    forms = [one for one in EMPTYINGS if dict(leaves(_FORMS[one](""))).keys() & known.keys()]
    act = act if act.what in forms or not forms else replace(act, what=forms[0])
    here = asyncio.create_task(_edit_here(world, act, memory, record_id))
    await asyncio.sleep(act.seconds)
    there = is_living(world, external_id) and _edit_there(world, act, memory, external_id)
    return await here and there


async def put(world: World, act: Act, memory: Memory) -> bool:
    """Replace a record: with all its fields, with few of them, or by an old reading of it."""
    record_id = await anybody_here(world, act)
    if record_id is None:
        return False
    try:
        shown = await world.runtime.customers.get(record_id)
        given = {name: shown[name] for name in sorted(CUSTOMER.names) if shown[name]}
        if act.what == "bare":
            given = {name: each for name, each in given.items() if name == "email"}
        if act.what == "blind":
            await asyncio.sleep(act.seconds)
        document = {**given, "name": act.value}
        expected = None if act.what == "blind" else [shown["version"]]
        await world.customers().replace(
            record_id, document, correlation_id="simulation", expected=expected
        )
    except (NotFound, StaleVersion):
        return False
    before, after = flatten(CUSTOMER, shown), flatten(CUSTOMER, document)
    if act.what == "blind":
        memory.blind.add(record_id)
    emptied = {path: None for path in before if path not in after}
    for path, value in {**after, **emptied}.items():
        if act.what == "blind" or before.get(path) != value:
            text = next(iter(value.values())) if isinstance(value, Mapping) else value
            memory.written.append(Written(text, "internal", record_id, path))
    memory.forget(record_id)
    return True


async def edit_back(world: World, act: Act, memory: Memory) -> bool:
    """Change a field twice, then restore the first value, as an unaware person does."""
    if not await world.quiet(_QUIET_SECONDS):
        return False
    external_id = await anybody_outside(world, act)
    record_id = await owner_of(world, external_id)
    if external_id is None or record_id is None:
        return False
    for letter in ("a", "b"):
        one = replace(act, value=act.value + letter)
        if not await _edit_here(world, one, memory, record_id):
            return False
        if not await world.quiet(_QUIET_SECONDS):
            return False
    old, path = f"{act.value}a", "/metadata/k" if act.what == "metadata" else f"/{act.what}"
    known = await owner_of(world, external_id) == record_id and not await world.out_of_sync()
    view = await world.runtime.customers.get(record_id) if known else {}
    if is_living(world, external_id) and flatten(CUSTOMER, view).get(path) == f"{act.value}b":
        world.sandbox.dashboard.update(external_id, change(replace(act, value=old)))
        memory.restored.append(Restored(record_id, path, old))
        return True
    return False


async def edit_beside(world: World, act: Act, memory: Memory) -> bool:
    """Edit a contact in the org beside."""
    contact = None if world.org is None else world.org.anybody(act.who)
    if world.org is None or contact is None:
        return False
    memory.forget(await owner_of(world, contact))
    if contact not in world.org.contacts():
        return False
    ((path, value),) = leaves(change(act))
    name = path.removeprefix("/")
    world.org.edit(contact, name, value)
    # A feed shows the last state of a contact, so an earlier edit may stay unseen.
    memory.outdate("beside", contact, path)
    memory.written.append(Written(value, "beside", contact, path))
    return True


async def anybody_here(world: World, act: Act) -> str | None:
    """Return the id of a living record."""
    known = sorted(row["id"] for row in await world.rows(_IDS))
    return known[act.who % len(known)] if known else None


async def anybody_outside(world: World, act: Act) -> str | None:
    """Return the id of a living object."""
    alive = sorted(str(seen["id"]) for seen in world.sandbox.dashboard.living())
    return alive[act.who % len(alive)] if alive else None


def is_living(world: World, external_id: str) -> bool:
    """Return whether an object lives."""
    return any(seen["id"] == external_id for seen in world.sandbox.dashboard.living())


async def owner_of(world: World, external_id: str | None) -> str | None:
    """Return the record that is linked with an object."""
    owner: str | None = await world.scalar(_OWNER, external_id=external_id)
    return owner


async def _edit_here(world: World, act: Act, memory: Memory, record_id: str) -> bool:
    patch = change(act)
    try:
        shown = await world.runtime.customers.get(record_id)
        # Emptied is only a field that had a value, which another edit may have emptied already.
        expected = [shown["version"]] if None in dict(leaves(patch)).values() else None
        await world.customers().patch(
            record_id, patch, correlation_id="simulation", expected=expected
        )
    except (NotFound, StaleVersion):
        return False
    known = flatten(CUSTOMER, shown)
    memory.forget(record_id)
    return memory.note("internal", record_id, patch, known)


def _edit_there(world: World, act: Act, memory: Memory, external_id: str) -> bool:
    shown, patch = world.sandbox.dashboard.retrieve(external_id), change(act)
    # A contact has a name, and the e-mail address is what people are joined by.
    if act.what in _ONLY_OUTSIDE and (world.org is not None or memory.full):
        return False
    if act.what == "city":
        patch["address"] = patch["address"] | {"line1": (shown["address"] or {}).get("line1")}
    world.sandbox.dashboard.update(external_id, patch)
    known = flatten(CUSTOMER, shown)
    for path, _ in leaves(patch):
        # A value that was never shown to us is overwritten without a trace.
        memory.outdate("unseen", external_id, path)
    return memory.note(world.side_outside, external_id, patch, known)
