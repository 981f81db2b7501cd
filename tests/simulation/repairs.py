"""Repairs and backfills between other acts, and the differences that they must not leave."""

import asyncio
from collections.abc import Iterable

from tests.simulation.memory import Act, Loss, Memory
from tests.simulation.operators import (
    CUSTOMER,
    DEAD,
    OPERATOR,
    STRIPE,
    briefly,
    read_feed,
)
from tests.simulation.world import World
from zenskar.model.missing import Missing
from zenskar.ops.runs.bulk_work import BulkWork, RepairOptions
from zenskar.sync.reconcile.report import Report

REPAIRS = ("plain", "recreate", "delete", "plan")
_SETTLE_SECONDS, _QUIET_SECONDS = 0.02, 3.0
_LOOKS, _ROUNDS = 2, 4
_KNOWN = "SELECT external_id FROM external_mappings WHERE source_system = 'stripe'"


async def repair(world: World, act: Act, memory: Memory) -> bool:
    """Repair the connection, with a choice for missing objects, or by a plan."""
    if not memory.joined or (memory.full and act.what != "plain"):
        return False
    if act.what == "plan":
        names = await briefly(world, _apply_plan(world, act))
    else:
        missing = {"recreate": Missing.RECREATE, "delete": Missing.DELETE}.get(act.what)
        report = await briefly(world, _repair(world, missing))
        names = None if report is None or not report.complete else _names(report)
    if not names:
        return False
    if not memory.full and world.loss is not Loss.UNLISTED:
        left = await _left(world, names)
        memory.wrong += [f"a repair ({act.what}) has left {name} as it was" for name in left]
    return True


async def backfill(world: World, act: Act, memory: Memory) -> bool:
    """Import all objects."""
    if not memory.joined:
        return False
    restart, before = act.who % 4 > 0, _living(world)
    work = BulkWork(world.runtime.operations(), OPERATOR)
    count = await briefly(world, work.backfill(STRIPE, CUSTOMER, restart=restart))
    if count is None:
        return False
    # A run that resumes does not read again what a stopped run has read, and an ambiguous copy of a
    # person waits for a decision.
    if restart and count.complete and not (count.dead or count.invalid or memory.full):
        known = {row["external_id"] for row in await world.rows(_KNOWN)}
        left = (before & _living(world)) - known
        memory.wrong += [f"a backfill has left {name} out" for name in sorted(left)]
    return count.published > 0


async def heal(world: World, memory: Memory, patience: float) -> list[str]:
    """Repair what lost webhooks have left, when nothing else moves; return what stays.

    A run that the story has stopped is not resumed: its list is older than the loss.
    """
    if memory.effects[f"lose {Loss.FAILED}"]:
        await read_feed(world, patience)
        await world.settle(patience)
    if not memory.unlisted:
        return []
    for _ in range(_ROUNDS):
        report = await briefly(world, _repair(world, None, restart=True), patience)
        await world.settle(patience)
        # Two copies of a person are a drift until somebody decides between them.
        if report is not None and report.complete and (memory.full or not report.found):
            return []
    return [f"no repair removes the drift: {report}"]


async def _repair(world: World, missing: Missing | None, *, restart: bool = False) -> Report:
    work = BulkWork(world.runtime.operations(), OPERATOR)
    options = RepairOptions(missing, force=True, restart=restart, settle_seconds=_SETTLE_SECONDS)
    return await work.repair(STRIPE, CUSTOMER, options)


async def _apply_plan(world: World, act: Act) -> set[str]:
    """Plan a repair and apply the plan; return the names of the steps that no change prevented."""
    work = BulkWork(world.runtime.operations(), OPERATOR)
    options = RepairOptions(force=True, settle_seconds=_SETTLE_SECONDS)
    plan = await work.plan_repair(STRIPE, CUSTOMER, options)
    await asyncio.sleep(act.seconds)
    result = await work.apply_repair(plan)
    if result.problem is not None:
        return set()
    prevented = [each for each in result.skipped if not each.why.startswith("it was not applied")]
    steps = {_name(step.external_id, step.record_id) for step in plan.steps}
    return steps - {_name(each.external_id, each.record_id) for each in prevented}


async def _left(world: World, names: Iterable[str]) -> list[str]:
    """Return the differences that stay when nothing moves, unless a dead letter explains them."""
    left = set(names)
    for _ in range(_LOOKS):
        if not left or not await world.quiet(_QUIET_SECONDS) or await world.scalar(DEAD):
            return []
        report = await briefly(world, _compare(world))
        if report is None or not report.complete:
            return []
        left &= _names(report)
    return sorted(left)


async def _compare(world: World) -> Report:
    work = BulkWork(world.runtime.operations(), OPERATOR)
    options = RepairOptions(restart=True, settle_seconds=_SETTLE_SECONDS)
    return await work.compare(STRIPE, CUSTOMER, options)


def _names(report: Report) -> set[str]:
    return {_name(each.external_id, each.record_id) for each in report.examples}


def _name(external_id: str | None, record_id: str | None) -> str:
    return external_id or record_id or ""


def _living(world: World) -> set[str]:
    return {str(seen["id"]) for seen in world.sandbox.dashboard.living()}
