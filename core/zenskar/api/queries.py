"""Query parameters, read strictly: a mistyped filter must not become no filter."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from aiohttp import web

from zenskar.api import cursors
from zenskar.api.routes import Parameter
from zenskar.errors import InvalidInput
from zenskar.ids import is_id

E = TypeVar("E", bound=StrEnum)

DEFAULT_LIMIT, MAX_LIMIT = 50, 200
PAGE_PARAMETERS = (
    Parameter(
        "limit",
        "How many at most.",
        schema={"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    ),
    Parameter("cursor", "The `next_cursor` of the page before."),
)


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of one request, each given once."""

    values: dict[str, str]

    @classmethod
    def of(cls, request: web.BaseRequest, allowed: Collection[str]) -> "Query":
        """Read the parameters; `InvalidInput` names one that is unknown, repeated or unreadable."""
        values: dict[str, str] = {}
        for name, value in request.query.items():
            if name not in allowed:
                raise InvalidInput(f"there is no such parameter; there are: {', '.join(allowed)}")
            if name in values:
                raise InvalidInput(f"{name}: is given twice")
            if "\0" in value or not _is_unicode(value):
                raise InvalidInput(f"{name}: has characters that are not allowed here")
            values[name] = value
        return cls(values)

    def text(self, name: str) -> str | None:
        """Return a parameter as it is."""
        return self.values.get(name)

    def id(self, name: str) -> str | None:
        """Return a UUID."""
        value = self.values.get(name)
        if value is not None and not is_id(value):
            raise InvalidInput(f"{name}: must be a UUID")
        return value

    def one_of(self, name: str, choices: type[E]) -> E | None:
        """Return a member of an enumeration."""
        value = self.values.get(name)
        if value is None:
            return None
        try:
            return choices(value)
        except ValueError:
            raise InvalidInput(f"{name}: must be one of {', '.join(choices)}") from None

    def seconds(self, name: str) -> float | None:
        """Return a span of time."""
        value = self.values.get(name)
        if value is None:
            return None
        if not re.fullmatch(r"\d{1,9}(\.\d{1,6})?", value, re.ASCII):
            raise InvalidInput(f"{name}: must be a number of seconds")
        return float(value)

    def flag(self, name: str) -> bool:
        """Return a switch, off unless it is given."""
        value = self.values.get(name, "false")
        if value not in {"true", "false"}:
            raise InvalidInput(f"{name}: must be true or false")
        return value == "true"

    @property
    def limit(self) -> int:
        """How many entries a page may have."""
        value = self.values.get("limit", str(DEFAULT_LIMIT))
        if not (value.isascii() and value.isdigit() and 1 <= int(value[:9]) <= MAX_LIMIT):
            raise InvalidInput(f"limit: must be a whole number from 1 to {MAX_LIMIT}")
        return int(value)

    @property
    def before(self) -> str | None:
        """The id after which the page starts."""
        return cursors.decode(self.values.get("cursor"))


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
