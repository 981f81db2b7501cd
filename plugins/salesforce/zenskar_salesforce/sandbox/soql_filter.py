"""Filter and sort rows by a parsed query, with Salesforce's rules for each type of field."""

from __future__ import annotations

import operator
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from zenskar_salesforce.record_ids import long_id

from .problems import Problem, Refused
from .soql import Comparison, Condition, Junction, Literal, Query

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from .object_types import ObjectField, ObjectType

Row = dict[str, Any]

_SIGNS: Final = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_IDS: Final = ("id", "reference")


def run(
    query: Query, rows: Iterable[Row], kind: ObjectType, hidden: Collection[str] = ()
) -> list[Row]:
    """Return the rows of a query, with its fields only.

    Raises `Refused` for an unknown object, an unknown or hidden field, and a value of a wrong type.
    """
    if query.object_name.lower() != kind.name.lower():
        text = f"sObject type '{query.object_name}' is not supported."
        raise Refused(400, Problem("INVALID_TYPE", text))
    fields = [_field(name, kind, hidden) for name in query.fields]
    where = _checked(query.where, kind, hidden)
    found = [row for row in rows if where is None or _holds(where, row, kind)]
    for order in reversed(query.orders):
        field = _field(order.field, kind, hidden)
        nulls_last = order.nulls_last != order.descending
        found.sort(key=lambda row: _rank(field, row, nulls_last), reverse=order.descending)
    found = found if query.limit is None else found[: query.limit]
    return [{field.name: row.get(field.name) for field in fields} for row in found]


def moment(text: str) -> datetime:
    """Return the time of a stored text."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.000%z")


def _field(name: str, kind: ObjectType, hidden: Collection[str]) -> ObjectField:
    field = kind.field(name)
    if field is None or field.name in hidden:
        text = f"No such column '{name}' on entity '{kind.name}'."
        raise Refused(400, Problem("INVALID_FIELD", text))
    return field


def _checked(
    condition: Condition | None, kind: ObjectType, hidden: Collection[str]
) -> Condition | None:
    """Return a condition whose values have the types of their fields."""
    if condition is None:
        return None
    if isinstance(condition, Junction):
        parts = (_checked(part, kind, hidden) for part in condition.parts)
        return Junction(condition.operator, tuple(part for part in parts if part is not None))
    field = _field(condition.field, kind, hidden)
    values = tuple(_typed(field, value) for value in condition.values)
    return Comparison(field.name, condition.operator, values)


def _typed(field: ObjectField, literal: Literal) -> Literal:
    value = literal.value
    if value is None:
        return literal
    if field.kind in _IDS:
        made = long_id(value) if isinstance(value, str) else None
        if made is None:
            text = f"invalid ID field: {value}"
            raise Refused(400, Problem("INVALID_QUERY_FILTER_OPERATOR", text))
        return Literal(made, quoted=True)
    wanted: type = {"datetime": datetime, "boolean": bool}.get(field.kind, str)
    if not isinstance(value, wanted):
        text = f"value of filter criterion for field '{field.name}' must be of type {field.kind}"
        raise Refused(400, Problem("INVALID_FIELD", text))
    return literal


def _holds(condition: Condition, row: Mapping[str, Any], kind: ObjectType) -> bool:
    if isinstance(condition, Junction):
        if condition.operator == "not":
            return not _holds(condition.parts[0], row, kind)
        joined = all if condition.operator == "and" else any
        return joined(_holds(part, row, kind) for part in condition.parts)
    field = kind.field(condition.field)
    if field is None:
        return False
    wanted = [_comparable(field, literal.value) for literal in condition.values]
    shown = _comparable(field, row.get(field.name))
    return _compare(condition.operator, shown, wanted)


def _compare(sign: str, shown: Any, wanted: list[Any]) -> bool:
    if sign in ("=", "in"):
        return shown in wanted
    if sign == "!=":
        return shown not in wanted
    if shown is None or wanted[0] is None:
        return False
    if sign == "like":
        return _like(wanted[0]).fullmatch(shown) is not None
    return bool(_SIGNS[sign](shown, wanted[0]))


def _like(pattern: str) -> re.Pattern[str]:
    parts = (".*" if sign == "%" else "." if sign == "_" else re.escape(sign) for sign in pattern)
    return re.compile("".join(parts), re.DOTALL)


def _comparable(field: ObjectField, value: Any) -> Any:
    """Return a value for a comparison: texts ignore the case, ids do not."""
    if isinstance(value, str) and field.kind == "datetime":
        return moment(value)
    if isinstance(value, str) and field.kind not in _IDS:
        return value.lower()
    return value


def _rank(field: ObjectField, row: Mapping[str, Any], nulls_last: bool) -> tuple[bool, Any]:
    value = _comparable(field, row.get(field.name))
    empty = value is None
    return (empty if nulls_last else not empty, "" if empty else value)
