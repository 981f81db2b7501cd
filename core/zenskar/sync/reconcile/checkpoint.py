"""Checkpoints of long runs, from which a run resumes after a crash."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db import checkpoints, connections, reconcile_runs
from zenskar.db.connections import OTHER_ACCOUNT, SAME_ACCOUNT
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import InvalidInput, StateConflict, Unavailable
from zenskar.ids import new_id
from zenskar.model.fields import SHAPES
from zenskar.plugins.router import PluginRouter
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.context import SyncContext

_RESUME_SECONDS = 86_400.0


@dataclass(slots=True)
class Checkpoint:
    """A run and its progress. The process that opened the run last owns it."""

    name: str
    id: str
    owner: str
    phase: str
    account: str | None = None
    cursor: str | None = None
    counts: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
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
    """Resume the run that stopped within the last day, or begin a new one at this phase.

    A run over another account is not resumed.
    """

    async def read_or_begin(db: AsyncConnection) -> Checkpoint:
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

    return await in_transaction(engine, read_or_begin)


async def save_run(db: AsyncConnection, run: Checkpoint) -> None:
    """Write a checkpoint. Raises `StateConflict` when another process has resumed the run."""
    if not await checkpoints.update(db, run.name, run.to_json()):
        raise StateConflict(f"another process has resumed {run.name}")


async def close_run(db: AsyncConnection, run: Checkpoint) -> None:
    """Delete the checkpoint of a finished run."""
    await checkpoints.delete(db, run.name, run.owner)
    await reconcile_runs.forget(db, run.id)


def check_synced(router: PluginRouter, source: str, entity_type: str) -> None:
    """Raise `NotFound` for an unknown connection, `InvalidInput` if it does not sync the entity."""
    owner = router.owner(source)
    if entity_type not in owner.entities or entity_type not in SHAPES:
        known = ", ".join(name for name in owner.entities if name in SHAPES)
        raise InvalidInput(f"{source} does not sync {entity_type}, but: {known or 'nothing'}")


async def check_ready(
    context: SyncContext,
    accounts: AccountCheck,
    source: str,
    entity_type: str,
    *,
    allowed: Collection[str] = (),
) -> str | None:
    """Check that a connection can be read, and return its account.

    A pause for one of the `allowed` reasons does not stop the run. Raises `Unavailable` when the
    connection is off, `InvalidInput` when it does not sync the entity, `StateConflict` when it is
    paused, and `CallFailed` when the account cannot be read.
    """
    context.router.owner(source)
    if problem := context.router.off.get(source):
        raise Unavailable(f"connection {source} is off: {problem}")
    check_synced(context.router, source, entity_type)
    await accounts.confirm(source)
    states = await in_transaction(context.engine, connections.states)
    state = states.get(source)
    if state is None or not state.paused or state.reason in allowed:
        return accounts.of(source)
    if state.reason in {OTHER_ACCOUNT, SAME_ACCOUNT}:
        raise StateConflict(f"the connection {source} is paused: {state.error_message}")
    raise StateConflict(f"the connection {source} is paused ({state.reason}): resume it first")
