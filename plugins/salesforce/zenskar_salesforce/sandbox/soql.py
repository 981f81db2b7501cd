"""Parse SOQL: the tokens, the grammar, and the tree of a query.

query     = SELECT names FROM name [WHERE any] [ORDER BY orders] [LIMIT n]
any       = all (OR all)*     all = test (AND test)*     never both without parentheses
test      = NOT test | ( any ) | name operator value | name [NOT] IN ( value, … )
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from .problems import Problem, Refused

Value = str | float | bool | datetime | None

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.)*')
    | (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:?\d\d))
    | (?P<number>-?\d+(?:\.\d+)?)
    | (?P<name>[A-Za-z][A-Za-z0-9_.]*)
    | (?P<sign><=|>=|!=|<>|[=<>(),])
    )""",
    re.VERBOSE,
)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_COMPARISONS: Final = {"=", "!=", "<>", "<", "<=", ">", ">="}
_WORDS: Final = {
    "select",
    "from",
    "where",
    "order",
    "by",
    "limit",
    "and",
    "or",
    "not",
    "in",
    "like",
}


@dataclass(frozen=True, slots=True)
class Literal:
    """A value of a query; `quoted` values are texts."""

    value: Value
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field, an operator and its values: one, or several for `IN`."""

    field: str
    operator: str
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Junction:
    """Conditions of which all (`and`), any (`or`) or none (`not`) hold."""

    operator: str
    parts: tuple[Condition, ...]


Condition = Comparison | Junction


@dataclass(frozen=True, slots=True)
class Order:
    """A field to sort by."""

    field: str
    descending: bool = False
    nulls_last: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query."""

    fields: tuple[str, ...]
    object_name: str
    where: Condition | None = None
    orders: tuple[Order, ...] = ()
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str

    @property
    def word(self) -> str:
        return self.text.lower() if self.kind == "name" else ""


def parse(text: str) -> Query:
    """Return the tree of a query. Raises `Refused` with `MALFORMED_QUERY`."""
    return _Parser(_tokens(text)).query()


def _tokens(text: str) -> list[_Token]:
    tokens, place, text = [], 0, text.rstrip()
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            raise _malformed(f"unexpected token: {text[place:].split()[0][:20]}")
        tokens.append(_Token(found.lastgroup, found[found.lastgroup]))
        place = found.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens, self._place = tokens, 0

    def query(self) -> Query:
        self._expect("select")
        fields = self._names()
        self._expect("from")
        name = self._name()
        where = self._any() if self._accept("where") else None
        orders = self._orders() if self._accept("order") else ()
        limit = self._limit() if self._accept("limit") else None
        if self._place < len(self._tokens):
            raise self._unexpected()
        return Query(fields, name, where, orders, limit)

    def _names(self) -> tuple[str, ...]:
        names = [self._name()]
        while self._accept(","):
            names.append(self._name())
        return tuple(names)

    def _any(self) -> Condition:
        parts, joint = [self._test()], None
        while (word := self._peek().word) in ("and", "or"):
            if joint not in (None, word):
                raise self._unexpected()
            joint, self._place = word, self._place + 1
            parts.append(self._test())
        return parts[0] if joint is None else Junction(joint, tuple(parts))

    def _test(self) -> Condition:
        if self._accept("not"):
            return Junction("not", (self._test(),))
        if self._accept("("):
            inner = self._any()
            self._expect(")")
            return inner
        field = self._name()
        if self._accept("not"):
            self._expect("in")
            return Junction("not", (Comparison(field, "in", self._values()),))
        if self._accept("in"):
            return Comparison(field, "in", self._values())
        if self._accept("like"):
            return Comparison(field, "like", (self._literal(),))
        sign = self._peek().text
        if sign not in _COMPARISONS:
            raise self._unexpected()
        self._place += 1
        return Comparison(field, "!=" if sign == "<>" else sign, (self._literal(),))

    def _values(self) -> tuple[Literal, ...]:
        self._expect("(")
        values = [self._literal()]
        while self._accept(","):
            values.append(self._literal())
        self._expect(")")
        return tuple(values)

    def _orders(self) -> tuple[Order, ...]:
        self._expect("by")
        orders = [self._order()]
        while self._accept(","):
            orders.append(self._order())
        return tuple(orders)

    def _order(self) -> Order:
        field = self._name()
        descending = self._accept("desc")
        if not descending:
            self._accept("asc")
        last = False
        if self._accept("nulls"):
            last = self._accept("last")
            if not last:
                self._expect("first")
        return Order(field, descending, last)

    def _limit(self) -> int:
        token = self._next()
        if token.kind != "number" or not token.text.isdigit():
            raise _malformed(f"unexpected token: '{token.text}'")
        return int(token.text)

    def _literal(self) -> Literal:
        token = self._next()
        if token.kind == "text":
            return Literal(_unescape(token.text[1:-1]), quoted=True)
        if token.kind == "time":
            return Literal(datetime.fromisoformat(token.text))
        if token.kind == "number":
            return Literal(float(token.text))
        if token.word in ("true", "false", "null"):
            return Literal({"true": True, "false": False, "null": None}[token.word])
        raise _malformed(f"unexpected token: '{token.text}'")

    def _name(self) -> str:
        token = self._next()
        if token.kind != "name" or token.word in _WORDS:
            raise _malformed(f"unexpected token: '{token.text}'")
        return token.text

    def _peek(self) -> _Token:
        whole = self._place < len(self._tokens)
        return self._tokens[self._place] if whole else _Token("end", "<EOF>")

    def _next(self) -> _Token:
        token = self._peek()
        self._place += 1
        return token

    def _accept(self, text: str) -> bool:
        token = self._peek()
        found = text in (token.word, token.text if token.kind == "sign" else None)
        self._place += found
        return found

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise self._unexpected()

    def _unexpected(self) -> Refused:
        return _malformed(f"unexpected token: '{self._peek().text}'")


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text, flags=re.DOTALL)


def _malformed(message: str) -> Refused:
    return Refused(400, Problem("MALFORMED_QUERY", message))
