"""Stripe's search query language: https://docs.stripe.com/search#search-query-language."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .errors import ApiError, invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zenskar.http.lookalike import Record

_MOST_CLAUSES = 10
_SHORTEST_SUBSTRING = 3
_QUOTED = r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"
_CLAUSE = re.compile(
    rf"\s*(?P<minus>-)?(?P<field>\w+)(?:\[\s*(?P<key>{_QUOTED})\s*\])?\s*"
    rf"(?P<op>>=|<=|[:~<>])\s*(?P<value>{_QUOTED}|[^\s'\"()]+)"
)
_JOINT = re.compile(r"\s+(?:(AND|OR)\s+)?", re.IGNORECASE)
_TEXTS: Final = frozenset({"email", "name", "phone"})
_NUMBERS: Final[Mapping[str, Callable[[int, int], bool]]] = {
    ":": lambda value, bound: value == bound,
    ">": lambda value, bound: value > bound,
    "<": lambda value, bound: value < bound,
    ">=": lambda value, bound: value >= bound,
    "<=": lambda value, bound: value <= bound,
}


@dataclass(frozen=True, slots=True)
class Clause:
    """A comparison; `value` is None for null, and `term` names the compared field."""

    term: str
    operator: str
    value: str | None
    negated: bool

    def matches(self, customer: Record) -> bool:
        """Return whether a customer matches the clause."""
        return self._holds(customer) is not self.negated

    def _holds(self, customer: Record) -> bool:
        if self.term == "created":
            return _NUMBERS[self.operator](customer["created"], int(self.value or 0))
        held = terms(customer).get(self.term)
        if held is None or self.value is None:
            return held is None and self.value is None
        return self.value in held if self.operator == "~" else self.value == held


@dataclass(frozen=True, slots=True)
class Query:
    """Clauses of which all or any must match."""

    clauses: tuple[Clause, ...]
    any_of: bool

    def matches(self, customer: Record) -> bool:
        """Return whether a customer matches the query."""
        results = (clause.matches(customer) for clause in self.clauses)
        return any(results) if self.any_of else all(results)

    def needed_term(self) -> tuple[str, str] | None:
        """Return a term that every match has, for a look-up in the index."""
        for clause in () if self.any_of else self.clauses:
            exact = clause.operator == ":" and clause.term != "created"
            if exact and not clause.negated and clause.value is not None:
                return clause.term, clause.value
        return None


def terms(customer: Record) -> dict[str, str]:
    """Return the searchable terms of a customer; strings compare without case."""
    found = {name: customer[name].lower() for name in _TEXTS if customer[name] is not None}
    for key, value in customer["metadata"].items():
        found[f"metadata:{key}"] = value.lower()
    return found


def parse_query(text: str) -> Query:
    """Parse a query. Raises `ApiError` for a wrong query."""
    clauses, joints, position = [], set(), 0
    while match := _CLAUSE.match(text, position):
        clauses.append(_clause(match))
        position = match.end()
        if not (joint := _JOINT.match(text, position)) or not text[joint.end() :].strip():
            break
        joints.add((joint[1] or "AND").upper())
        position = joint.end()
    if not clauses or text[position:].strip():
        raise _refused("We were unable to parse your search query.")
    return _query(tuple(clauses), joints)


def _query(clauses: tuple[Clause, ...], joints: set[str]) -> Query:
    if len(joints) > 1:
        raise _refused("You can't combine AND and OR in the same search query.")
    if len(clauses) > _MOST_CLAUSES:
        raise _refused(f"A search query can have at most {_MOST_CLAUSES} clauses.")
    return Query(clauses, any_of=joints == {"OR"})


def _clause(match: re.Match[str]) -> Clause:
    field, operator = match["field"].lower(), match["op"]
    value = None if match["value"].lower() == "null" else _unquoted(match["value"])
    if field == "metadata" and match["key"]:
        term = f"metadata:{_unquoted(match['key'])}"
    elif field in {*_TEXTS, "created"} and not match["key"]:
        term = field
    else:
        raise _refused(f"Field `{field}` is an unsupported search field for resource `customers`.")
    _check(term, operator, value)
    return Clause(term, operator, value and value.lower(), bool(match["minus"]))


def _check(term: str, operator: str, value: str | None) -> None:
    if term == "created":
        if operator == "~" or value is None or not re.fullmatch(r"\d{1,15}", value):
            raise _refused("Field `created` has to be compared with a number of seconds.")
    elif operator not in ":~":
        raise _refused(f"Actor `{operator}` works on numeric fields only.")
    elif operator == "~" and len(value or "") < _SHORTEST_SUBSTRING:
        raise _refused(f"A substring has to have at least {_SHORTEST_SUBSTRING} characters.")


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[0] in "'\"" else text


def _refused(message: str) -> ApiError:
    return invalid(f"{message} See https://stripe.com/docs/search.", "query")
