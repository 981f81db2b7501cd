"""Read a page of a table whose ids are ordered by time, newest first."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.ids import bound


async def newest(
    db: AsyncConnection,
    table: Table,
    columns: Sequence[ColumnElement[Any]],
    wanted: Mapping[str, Any],
    *,
    most: int,
    before: str | None,
) -> Sequence[Row[Any]]:
    """Return rows with ids below `before`, whose columns have the wanted values; None is any.

    `since` and `until` are about the time of the creation, which the id holds.
    """
    since: datetime | None = wanted.get("since")
    until: datetime | None = wanted.get("until")
    equal = [
        table.c[name] == value
        for name, value in wanted.items()
        if value is not None and name not in {"since", "until"}
    ]
    statement = select(*columns).where(*equal)
    if since is not None:
        statement = statement.where(table.c.id >= bound(since))
    if until is not None:
        statement = statement.where(table.c.id < bound(until))
    if before is not None:
        statement = statement.where(table.c.id < before)
    return (await db.execute(statement.order_by(table.c.id.desc()).limit(most))).all()
