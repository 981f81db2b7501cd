"""The story of a world: a list of acts, drawn from a seed and replayed unchanged."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from itertools import pairwise

from tests.simulation import disturbances, edits, lives, operators, people, repairs, webhooks
from tests.simulation.beside import FAULTS as BESIDE_FAULTS
from tests.simulation.memory import Act, Memory
from tests.simulation.partial import system_of
from tests.simulation.people import draw_copies
from tests.simulation.world import World
from zenskar.errors import Unavailable

_API_ATTEMPTS = 20
_WEIGHTS = {
    "create": 3,
    "create_outside": 2,
    "edit": 6,
    "edit_outside": 6,
    "edit_back": 3,
    "empty_both": 2,
    "put": 2,
    "delete": 1,
    "delete_outside": 1,
    "undelete": 2,
    "pause": 2,
    "retry_dead": 2,
    "repair": 4,
    "backfill": 2,
    "poll": 1,
    "lose": 2,
    "resend": 3,
    "ghost": 2,
    "tick": 2,
    "rest": 5,
    "calm": 3,
    "fault": 6,
    "kill": 3,
    "set_our_clock": 1,
    "set_their_clock": 1,
}
_RESTORES = {"delete_outside": 4, "restore_outside": 6}
_NAMED = frozenset({"edit", "edit_outside", "put", "pause", "repair", "resend", "drift"})
"""The acts whose effects are counted by their variants."""
_ENDS = {"pause": ("edit", "resume"), "lose": ("edit_outside", "hear")}
_HEALS = ("repair", "backfill", "poll", "resend", "rest")
"""The acts after a loss of webhooks."""
_DRIFTS_OF_TEN = 9
"""So many of ten repairs and backfills find a change without an event."""
_DRIFT_FOR = {"recreate": "delete", "delete": "delete", "backfill": "create"}
"""The change that the variant of a repair, or a backfill, is for."""
_BESIDE = {"create_beside": 2, "edit_beside": 6, "delete_beside": 1, "fault_beside": 4}


def draw(seed: int) -> list[Act]:
    """Draw a story."""
    rng = random.Random(seed)
    system = system_of(seed)
    known = _WEIGHTS | (_RESTORES if system.restores else {}) | (_BESIDE if system.beside else {})
    kinds, weights = list(known), list(known.values())
    picked = rng.choices(kinds, weights, k=rng.randint(5, 20))
    first = rng.choice(["create", "create_outside"])
    filled = _filling(rng) if system.full else []
    kinds = _with_ends([first, *picked], rng)
    acts = [_act(kind, number, rng) for number, kind in enumerate(kinds, len(filled))]
    return filled + [_fitting(*two) for two in pairwise([*acts, Act("end")])]


def _fitting(act: Act, then: Act) -> Act:
    """Return an act; before a repair, the change that this repair is for."""
    wanted = _DRIFT_FOR.get(then.what or then.kind)
    return replace(act, what=wanted) if act.kind == "drift" and wanted else act


def _with_ends(kinds: list[str], rng: random.Random) -> list[str]:
    """Return the acts with an edit after each pause and loss, and with its end somewhat later.

    Before most repairs something changes that only a repair can find.
    """
    for kind, (edit, end) in _ENDS.items():
        for place in reversed([n for n, each in enumerate(kinds) if each == kind]):
            last = place + rng.randint(1, 4)
            kinds[last:last] = [end] if kind == "pause" else [end, rng.choice(_HEALS)]
            kinds[place + 1 : place + 1] = [edit]
    for place in reversed([n for n, each in enumerate(kinds) if each in {"repair", "backfill"}]):
        if rng.randrange(10) < _DRIFTS_OF_TEN:
            kinds[place:place] = ["drift"]
    return kinds


def _filling(rng: random.Random) -> list[Act]:
    """Draw two sides that hold the same people, some edits, and the end of the pause."""
    copies = [Act(kind, who, value=f"v{n}") for n, (kind, who) in enumerate(draw_copies(rng))]
    kinds = [*rng.choices(["edit", "edit_outside"], k=rng.randint(0, 3)), "join"]
    return copies + [_act(kind, number, rng) for number, kind in enumerate(kinds, len(copies))]


def _act(kind: str, number: int, rng: random.Random) -> Act:
    what = {
        "edit": edits.FORMS,
        "edit_outside": edits.FORMS_OUTSIDE,
        "edit_back": edits.BACK,
        "empty_both": edits.EMPTYINGS,
        "put": edits.REPLACEMENTS,
        "pause": operators.PAUSES,
        "repair": repairs.REPAIRS,
        "drift": webhooks.DRIFTS,
        "ghost": webhooks.LATE,
        "lose": webhooks.LOSSES,
        "resend": tuple(webhooks.AGES),
        "edit_beside": ("name", "phone", "no_phone"),
        "fault_beside": BESIDE_FAULTS,
        "fault": disturbances.FAULTS,
        "kill": disturbances.KILLS,
    }.get(kind, ("",))
    return Act(
        kind=kind,
        who=rng.randrange(100),
        what=rng.choice(what),
        value=f"v{number}",
        seconds=rng.choice([0.0, 0.005, 0.02, 0.1, 0.5]),
    )


async def perform(world: World, act: Act, memory: Memory) -> None:
    """Execute an act; an act that is impossible now is skipped."""
    await world.replace_killed()
    for _ in range(_API_ATTEMPTS):
        try:
            if await _ACTS[act.kind](world, act, memory):
                named = act.what if act.kind in _NAMED else ""
                memory.effects[f"{act.kind} {named}".strip()] += 1
        except Unavailable:
            # The reaction of a client to 503.
            await asyncio.sleep(0.1)
        else:
            return


_ACTS: Mapping[str, Callable[[World, Act, Memory], Awaitable[bool]]] = {
    "fill_here": people.fill_here,
    "fill_there": people.fill_there,
    "join": people.join_sides,
    "create": lives.create,
    "create_outside": lives.create_outside,
    "edit": edits.edit,
    "edit_outside": edits.edit_outside,
    "edit_back": edits.edit_back,
    "empty_both": edits.empty_both,
    "put": edits.put,
    "undelete": operators.undelete,
    "pause": operators.pause,
    "resume": operators.resume,
    "retry_dead": operators.retry_dead,
    "drift": webhooks.drift,
    "ghost": webhooks.ghost,
    "repair": repairs.repair,
    "backfill": repairs.backfill,
    "poll": operators.poll,
    "lose": webhooks.lose,
    "hear": webhooks.hear,
    "resend": webhooks.resend,
    "delete": lives.delete,
    "delete_outside": lives.delete_outside,
    "restore_outside": lives.restore_outside,
    "create_beside": lives.create_beside,
    "edit_beside": edits.edit_beside,
    "delete_beside": lives.delete_beside,
    "fault_beside": disturbances.break_beside,
    "tick": disturbances.tick,
    "set_our_clock": disturbances.set_our_clock,
    "set_their_clock": disturbances.set_their_clock,
    "rest": disturbances.rest,
    "calm": disturbances.calm,
    "fault": disturbances.break_next,
    "kill": disturbances.kill,
}
