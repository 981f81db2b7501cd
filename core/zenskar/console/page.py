"""The pages and the actions of the console, as values."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from aiohttp import web

from zenskar.api.http import cursors
from zenskar.api.http.clients import client_address
from zenskar.api.services import ApiServices
from zenskar.db.driver.storable import is_storable
from zenskar.errors import InvalidInput, NotFound, Unavailable
from zenskar.ids import is_id
from zenskar.model.actor import Actor, check_reason
from zenskar.model.moment import parse_moment
from zenskar.model.scope import Scope
from zenskar.model.sync_event import Direction, SyncStatus

F = TypeVar("F")

ROOT = "/console"
READ_SECONDS = 5.0
"""The time of a page or a preview that reads the database alone."""
_LONGEST_FILTER = 512


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Raise `Unavailable` when reading takes longer: a database that hangs gives no error."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Unavailable(
            f"no answer came within {seconds:g} seconds: PostgreSQL or another system hangs"
        ) from None


def _record(text: str) -> str:
    if not is_id(text):
        raise InvalidInput("record: must be the id of a record")
    return text


_READERS: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {
        "status": SyncStatus,
        "direction": Direction,
        "record": _record,
        "since": parse_moment,
        "until": parse_moment,
    }
)
"""The conversions of filters that are not texts."""


@dataclass(frozen=True, slots=True)
class Operator:
    """The person at the console: the name and the scope of the API key.

    `token` proves that a form comes from a page of this operator. Without a login there is no key.
    """

    name: str
    scope: Scope
    token: str
    key_id: str | None = None

    def may(self, scope: Scope) -> bool:
        """Return whether the operator has a scope."""
        return self.scope.covers(scope)

    @property
    def writes(self) -> bool:
        """Whether the operator may run actions."""
        return self.may(Scope.WRITE)

    @property
    def reveals(self) -> bool:
        """Whether the operator may see personal data and manage keys."""
        return self.may(Scope.ADMIN)


@dataclass(frozen=True, slots=True)
class Visit:
    """The request of an operator for a page or an action. A page has no form."""

    request: web.Request
    operator: Operator
    services: ApiServices
    form: Mapping[str, str] = field(default_factory=dict)

    def part(self, name: str) -> str:
        """Return the text in the path that stands for a placeholder.

        Raises `NotFound` for a text with control characters: no name has them.
        """
        found = self.request.match_info[name]
        if not found.isprintable():
            raise NotFound("there is nothing at this address")
        return found

    def filter(self, name: str) -> str | None:
        """Return a filter of the address, None without a value. Raises `InvalidInput`."""
        value = self.request.query.get(name, "").strip()
        if len(value) > _LONGEST_FILTER or not is_storable(value):
            raise InvalidInput(f"{name}: must be a text of at most {_LONGEST_FILTER} characters")
        return value or None

    def filters(self, names: Sequence[str]) -> Mapping[str, str | None]:
        """Return the filters of the address by name. Raises `InvalidInput`."""
        return {name: self.filter(name) for name in names}

    def filter_as(self, kind: type[F], names: Sequence[str], **fields: str) -> F:
        """Return the filter of a kind that the named filters make. Raises `InvalidInput`.

        `fields` has the fields of the filters that have another name there.
        """
        given = {name: text for name, text in self.filters(names).items() if text is not None}
        try:
            values: dict[str, Any] = {
                fields.get(name, name): _READERS.get(name, str)(text)
                for name, text in given.items()
            }
        except ValueError as error:
            raise InvalidInput(str(error)) from None
        return kind(**values)

    def shown_filters(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the data of a list with filters: their values, and whether any is set."""
        filters = self.filters(names)
        return {"filters": filters, "filtered": any(filters.values())}

    @property
    def before(self) -> str | None:
        """The id after which the page of a list begins, None at first. Raises `InvalidInput`."""
        return cursors.decode(self.filter("cursor"))

    def other_pages(self, last_id: str | None) -> dict[str, Any]:
        """Return the addresses of the next and the first page of a list, None without one.

        `last_id` is the last id of this page, None on the last page.
        """
        following = cursors.encode(last_id)
        return {
            "next": self.address(cursor=following) if following else None,
            "first": self.address(cursor=None) if self.filter("cursor") else None,
        }

    def address(self, **changed: str | None) -> str:
        """Return the address of this page with other filters; None removes a filter."""
        query = {**self.request.query, **changed}
        kept = {name: value for name, value in query.items() if value}
        return str(self.request.rel_url.with_query(kept))

    @property
    def reason(self) -> str:
        """The reason that the operator gives for an action. Raises `InvalidInput` without one."""
        reason = check_reason(self.form.get("reason"))
        if reason is None:
            raise InvalidInput("a reason is needed")
        return reason

    @property
    def actor(self) -> Actor:
        """The operator with address and reason, for the audit. Raises `InvalidInput`."""
        key = self.operator.key_id
        name = self.operator.name if key is None else f"API key {key}"
        return Actor(name, client_address(self.request), self.reason)


@dataclass(frozen=True, slots=True)
class ConsolePage:
    """A page at a path under `/console`.

    `read` returns the data of the template. `menu` is the name in the menu, empty without an
    entry; `section` is the menu entry that is marked, by default its own. A `live` page is read
    again while it is visible; the data can say `live` for a single page. A page that is not read
    within `seconds` has failed.
    """

    path: str
    template: str
    read: Callable[[Visit], Awaitable[Mapping[str, Any]]]
    menu: str = ""
    icon: str = ""
    section: str = ""
    live: bool = False
    scope: Scope = Scope.READ
    seconds: float = READ_SECONDS


@dataclass(frozen=True, slots=True)
class ActionField:
    """An input of an action besides the reason; one of `choices` if there are any.

    A `long` input has several lines.
    """

    name: str
    label: str
    value: str = ""
    help: str = ""
    choices: Sequence[tuple[str, str]] = ()
    required: bool = True
    long: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """The changes that an action would make, before an operator confirms them.

    `counts` are names with values. `kept` are values of this preview that return with the form, so
    that the action can refuse when they have changed. `refusal` says why there is nothing to run.
    An action that changes nothing and makes no call needs no reason: it is not `audited`. A
    preview that `asks` has no values for its fields yet: its form leads to the next preview, and
    `problem` says why values cannot be used.
    """

    title: str
    text: str
    confirm: str
    back: str
    counts: Sequence[tuple[str, str]] = ()
    details: Sequence[str] = ()
    fields: Sequence[ActionField] = ()
    kept: Mapping[str, str] = field(default_factory=dict)
    dangerous: bool = False
    refusal: str = ""
    audited: bool = True
    asks: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """The result of an action in words, and the address of the page that follows.

    `secret` is shown once, in place of that page.
    """

    text: str
    address: str
    secret: str = ""


@dataclass(frozen=True, slots=True)
class ShownOnce:
    """The result of an action as a page, for data that its address must not show again."""

    template: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Action:
    """An action at a path under `/console`: GET shows the preview, POST runs it.

    A preview that is not read within `seconds` has failed.
    """

    path: str
    preview: Callable[[Visit], Awaitable[Preview]]
    run: Callable[[Visit], Awaitable[Done | ShownOnce]]
    section: str = ""
    scope: Scope = Scope.WRITE
    seconds: float = READ_SECONDS
