"""Runs over all of an external system, which go on where a crash stopped them."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db import checkpoints, connections, reconcile_runs
from zenskar.db.connections import DELETE_GUARD, OTHER_ACCOUNT, SAME_ACCOUNT
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import InvalidInput, StateConflict, Unavailable
from zenskar.ids import new_id
from zenskar.model.fields import SHAPES
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.context import SyncContext

_RESUME_SECONDS = 86_400.0


@dataclass(slots=True)
class Checkpoint:
    """One run and how far it has come. Whoever took it up last owns it."""

    name: str
    id: str
    owner: str
    phase: str
    account: str | None = None
    cursor: str | None = None
    counts: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what the checkpoint holds."""
        return {
            "run": self.id,
            "owner": self.owner,
            "phase": self.phase,
            "account": self.account,
            "cursor": self.cursor,
            "counts": self.counts,
        }


async def open_run(
    engine: AsyncEngine, name: str, phase: str, account: str | None, *, restart: bool
) -> Checkpoint:
    """Take up the run that stopped within the last day, or begin a new one at this phase.

    What a run has seen of another account says nothing of this one.
    """

    async def work(db: AsyncConnection) -> Checkpoint:
        known = await checkpoints.read(db, name, _RESUME_SECONDS)
        run = Checkpoint(name, new_id(), new_id(), phase, account)
        if known is not None:
            state, fresh = known
            if fresh and not restart and state.get("account") == account:
                run.id, run.phase = state["run"], state["phase"]
                run.cursor, run.counts = state["cursor"], state["counts"]
            else:
                await reconcile_runs.forget(db, state["run"])
        await checkpoints.write(db, name, run.to_json())
        return run

    return await in_transaction(engine, work)


async def save_run(db: AsyncConnection, run: Checkpoint) -> None:
    """Write a checkpoint; `Conflict` when another process has taken the run up."""
    if not await checkpoints.update(db, run.name, run.to_json()):
        raise StateConflict(f"another process has taken {run.name} up")


async def close_run(engine: AsyncEngine, run: Checkpoint) -> None:
    """Forget a run that came to its end."""

    async def work(db: AsyncConnection) -> None:
        await checkpoints.delete(db, run.name, run.owner)
        await reconcile_runs.forget(db, run.id)

    await in_transaction(engine, work)


async def check_ready(
    context: SyncContext, accounts: AccountCheck, source: str, entity_type: str, *, only_looks: bool
) -> str | None:
    """Return the account that is read; raise unless this entity may be read there.

    A look is fine while deletes are held back.
    """
    owner = context.router.owner(source)
    if problem := context.router.off.get(source):
        raise Unavailable(f"connection {source} is off: {problem}")
    if entity_type not in owner.entities or entity_type not in SHAPES:
        known = ", ".join(name for name in owner.entities if name in SHAPES)
        raise InvalidInput(f"{source} does not sync {entity_type}, but: {known or 'nothing'}")
    await accounts.confirm(source)
    states = await in_transaction(context.engine, connections.states)
    state = states.get(source)
    if state is None or not state.paused or (only_looks and state.reason == DELETE_GUARD):
        return accounts.of(source)
    if state.reason in {OTHER_ACCOUNT, SAME_ACCOUNT}:
        raise StateConflict(f"the connection {source} is paused: {state.error_message}")
    raise StateConflict(f"the connection {source} is paused ({state.reason}): resume it first")
