"""The actions of operators: each is written with its change, and listed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.driver.storable import storable
from zenskar.db.operators.newest_first import newest
from zenskar.db.schema.operator_tables import operator_actions


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """An action: the operator, the place, the kind, the target and the operator's reason.

    `request` is the confirmed choice, `result` the numbers of changes.
    `ended_at` is None while the action is in progress, and for ever after a crash.
    """

    id: str
    at: datetime
    by: str
    place: str
    action: str
    target: str | None
    reason: str | None
    request: Mapping[str, Any]
    state: str
    result: Mapping[str, Any]
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class ActionFilter:
    """A selection of actions; None selects all. The times are about their begin."""

    action: str | None = None
    target: str | None = None
    state: str | None = None
    since: datetime | None = None
    until: datetime | None = None


_COLUMNS = [operator_actions.c[name] for name in OperatorAction.__dataclass_fields__]


async def save(db: AsyncConnection, values: Mapping[str, Any], *, ended: bool) -> None:
    """Insert an action, or replace the state and the result of the action with this id."""
    statement = insert(operator_actions).values(
        **storable(values), ended_at=func.now() if ended else None
    )
    changed = {name: statement.excluded[name] for name in ("state", "result", "ended_at")}
    await db.execute(
        statement.on_conflict_do_update(index_elements=[operator_actions.c.id], set_=changed)
    )


async def page(
    db: AsyncConnection, wanted: ActionFilter, *, most: int, before: str | None = None
) -> list[OperatorAction]:
    """Return actions, newest first, with ids below `before`."""
    rows = await newest(db, operator_actions, _COLUMNS, asdict(wanted), most=most, before=before)
    return [_action(row) for row in rows]


def _action(row: Row[Any]) -> OperatorAction:
    return OperatorAction(**row._mapping)  # noqa: SLF001 - the public name of this in SQLAlchemy
