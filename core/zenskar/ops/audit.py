"""Record the actions of operators: who, from where, when, why, and the numbers of changes.

An action is written in the transaction of its change, so neither exists without the other. An
action of several transactions stays `begun` until its end, and for ever after a crash.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db.driver.engine import in_transaction
from zenskar.db.operators import actions
from zenskar.db.operators.actions import ActionFilter, OperatorAction
from zenskar.errors import ZenskarError
from zenskar.ids import new_id
from zenskar.model.actor import Actor
from zenskar.model.operator_action import ActionKind, ActionState


@dataclass(slots=True)
class AuditEntry:
    """An action: `request` is the confirmed choice, `result` holds the numbers of changes."""

    kind: ActionKind
    by: Actor
    target: str | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=new_id)

    async def write(self, db: AsyncConnection, state: ActionState = ActionState.DONE) -> None:
        """Write the action with its present result, again if it was written before."""
        values = {
            "id": self.id,
            "by": self.by.name,
            "place": self.by.place,
            "action": self.kind.value,
            "target": self.target,
            "reason": self.by.reason,
            "request": dict(self.request),
            "state": state.value,
            "result": self.result,
        }
        await actions.save(db, values, ended=state is not ActionState.BEGUN)

    async def write_progress(self, db: AsyncConnection) -> None:
        """Write the present result of an action that has not ended."""
        await self.write(db, ActionState.BEGUN)


@dataclass(frozen=True, slots=True)
class ActionPage:
    """Actions, newest first, and the id to read the next page from; None on the last page."""

    actions: Sequence[OperatorAction]
    last_id: str | None


async def page(
    db: AsyncConnection, wanted: ActionFilter, *, limit: int, before: str | None = None
) -> ActionPage:
    """Return at most `limit` actions that match a filter and are older than `before`."""
    found = await actions.page(db, wanted, most=limit + 1, before=before)
    last_id = found[limit - 1].id if len(found) > limit else None
    return ActionPage(found[:limit], last_id)


@asynccontextmanager
async def recorded(engine: AsyncEngine, entry: AuditEntry) -> AsyncIterator[AuditEntry]:
    """Write a long action before its first step, and its end with the result.

    Without the first write nothing is done. A failure is written without text of other systems.
    """
    await in_transaction(engine, entry.write_progress)
    state = ActionState.FAILED
    try:
        yield entry
        state = ActionState.FAILED if "problem" in entry.result else ActionState.DONE
    except asyncio.CancelledError:
        state = ActionState.STOPPED
        raise
    except Exception as error:
        known = isinstance(error, ZenskarError)
        entry.result["problem"] = str(error) if known else type(error).__name__
        raise
    finally:
        await in_transaction(engine, lambda c: entry.write(c, state))
