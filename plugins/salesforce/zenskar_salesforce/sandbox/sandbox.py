"""The sandbox: an object that serves Salesforce's API under the control of a test."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from aiohttp import web

from zenskar.http.lookalike import EditRefused, FaultKind, LookAlike
from zenskar_salesforce.record_ids import ORG_PREFIX, long_id

from .allowance import Allowance
from .api import Api, writes_in
from .messages import HEADERS, MESSAGE, OutboundMessages, is_acknowledgement, message
from .object_types import object_type
from .org import Org, shown_time
from .problems import Problem, Refused
from .rest import Habits, Rest
from .tokens import ConnectedApp, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from zenskar.http.lookalike import DeliveryRetries, Fault, Record

    from .org import Row

    Edit = Callable[[str, dict[str, Any]], Any]

APP = ConnectedApp("zenskar-sandbox", "secret-of-the-sandbox")
_IDLE_SECONDS = 7200.0
_MOST_WRITES = 100_000
_FAULTS = {
    FaultKind.RATE_LIMITED: (403, "REQUEST_LIMIT_EXCEEDED"),
    FaultKind.SERVER_ERROR: (500, "UNKNOWN_EXCEPTION"),
}


class SalesforceSandbox(LookAlike):
    """A local Salesforce with contacts or accounts, as an async context manager.

    `org`, `faults`, `tokens`, `allowance` and `habits` control the sandbox.
    """

    event_types = (MESSAGE,)
    user_agent = "SFDC-Callout/66.0"

    def __init__(  # noqa: PLR0913 - every option is a keyword with a default
        self,
        *,
        app: ConnectedApp = APP,
        object_name: str = "Contact",
        has_codes: bool = False,
        port: int = 0,
        store_path: Path | None = None,
        clock: Callable[[], float] = time.time,
        org_number: int = 1,
        token_idle_seconds: float = _IDLE_SECONDS,
        message_retries: DeliveryRetries | None = None,
    ) -> None:
        super().__init__(
            port=port, store_path=store_path, clock=clock, webhook_retries=message_retries
        )
        self.app = app
        self.tokens = Tokens(app, self.clock, _org_id(org_number), token_idle_seconds)
        self.allowance = Allowance(self.clock)
        self.habits = Habits()
        self._kind = object_type(object_name, has_codes=has_codes)
        self._writes: deque[str] = deque(maxlen=_MOST_WRITES)
        self._org: Org | None = None
        self._api: Api | None = None

    # --- the parts of the look-alike --------------------------------------------------------

    def prepare(self) -> None:
        """Build the parts that are Salesforce's own."""
        running = self.running
        self._org = org = Org(self.clock, running.store, self._kind)
        messages = OutboundMessages(org, running.events, running.background, self.emit)
        org.changed = messages.changed
        self._api = Api(Rest(org, self.allowance, self.habits), self.tokens, self.allowance)

    def routes(self) -> Iterable[web.RouteDef]:
        """Return one route for every call."""
        return [web.route("*", "/{tail:.*}", self._answer)]

    def refuse(self, request: web.Request) -> web.Response | None:
        """Return the answer to a call without a valid token."""
        if self._own().is_open(request):
            return None
        problem = Problem("INVALID_SESSION_ID", "Session expired or invalid")
        return self._own().refusal(Refused(401, problem))

    def refused(self, fault: Fault) -> web.Response:
        """Return the answer of a fault in the form of Salesforce's errors."""
        status, code = _FAULTS.get(fault.kind, (fault.status, fault.code))
        problems = (Problem(code, fault.reason, ()),) if code else ()
        return self._own().refusal(Refused(status, *problems))

    async def call(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Answer a call, and note its writes."""
        if request.path.endswith("/composite"):
            self._writes += writes_in(await request.read())
        return await super().call(request, handler)

    def encode(self, event: Record) -> bytes:
        """Return an Outbound Message with the present state of its records."""
        org = self.org
        shown = {identifier: org.shown(identifier) for _, identifier in event["notifications"]}
        notifications = event["notifications"]
        return message(self.org_id, notifications, shown, object_name=org.kind.name)

    def sign(self, body: bytes, at: int, secret: str, url: str = "") -> Mapping[str, str]:  # noqa: ARG002
        """Return the headers of an Outbound Message, which has no signature."""
        return HEADERS

    def acknowledged(self, status: int, answer: str) -> bool:
        """Return whether the answer is the SOAP that ends the repetitions."""
        return status == 200 and is_acknowledgement(answer)

    def edits(self) -> Sequence[tuple[str, str, Edit]]:
        """Return what a person does in the browser, and an admin."""
        org, one = self.org, "records/{id}"
        return (
            ("GET", "records", lambda _id, _values: {"data": list(org.rows.values())}),
            ("POST", "records", _edit(lambda _, values: self._row(self.add(**values)))),
            ("PATCH", one, _edit(lambda key, values: self._row(key, org.update, values))),
            ("DELETE", one, _edit(lambda key, _: self._row(key, org.delete))),
            ("POST", f"{one}/undelete", _edit(lambda key, _: self._row(key, org.undelete))),
            ("POST", f"{one}/merge", _edit(self._merge)),
            ("DELETE", "tokens", lambda _id, _values: self._revoke()),
        )

    def clear_objects(self) -> None:
        """Remove every record."""
        self.org.clear()

    # --- the parts of a test ----------------------------------------------------------------

    @property
    def org(self) -> Org:
        """Return the records. Raises `RuntimeError` before the first start."""
        if self._org is None:
            raise _not_started()
        return self._org

    @property
    def org_id(self) -> str:
        """Return the id of the org."""
        return self.tokens.org_id

    def refresh(self, org_number: int) -> None:
        """Replace the org by a new copy, with the same records and another id."""
        self.tokens.revoke()
        self.tokens.org_id = _org_id(org_number)

    @property
    def living(self) -> list[Row]:
        """Return the living records, as all users see them."""
        return [row for row in self.org.rows.values() if not row["IsDeleted"]]

    def writes(self) -> list[str]:
        """Return the methods of all writes in composites, oldest first, also of refused ones."""
        return list(self._writes)

    def edit(self, identifier: str, **values: object) -> Row:
        """Change a record as a person does, and return it."""
        self.org.update(identifier, values, self.org.person)
        return self.org.rows[identifier]

    def add(self, **values: object) -> str:
        """Create a record as a person does, and return its id."""
        return self.org.create(values, self.org.person)

    def delete(self, identifier: str) -> None:
        """Put a record into the recycle bin as a person does."""
        self.org.delete(identifier, self.org.person)

    def hold(self, identifier: str, **values: object) -> Callable[[], None]:
        """Change a record in a transaction that is open; the returned function commits it.

        The stamps are those of now, and no call sees the change before the commit.
        """
        before = self.org.rows[identifier]
        held: Row = {**self.edit(identifier, **values)}
        self.org.commit(before)
        return lambda: self.org.commit(held)

    def stamp(self) -> str:
        """Return the present second, as the API shows times."""
        return shown_time(self.clock())

    async def _answer(self, request: web.Request) -> web.Response:
        return await self._own().answer(request)

    def _own(self) -> Api:
        if self._api is None:
            raise _not_started()
        return self._api

    def _row(self, key: str, change: Callable[..., None] | None = None, *values: Any) -> Row:
        """Make a change as a person, and return the record."""
        if change is not None:
            change(key, *values, self.org.person)
        return self.org.rows[self.org.found_id(key)]

    def _merge(self, key: str, values: dict[str, Any]) -> Row:
        losers = [str(each) for each in values.get("losers") or ()]
        return self._row(key, self.org.merge, losers, values.get("values") or {})

    def _revoke(self) -> Mapping[str, bool]:
        self.tokens.revoke()
        return {"deleted": True}


def settings_of(sandbox: SalesforceSandbox) -> Mapping[str, str]:
    """Return the settings of a connection to a sandbox."""
    return {
        "client_id": sandbox.app.client_id,
        "client_secret": sandbox.app.client_secret,
        "domain": sandbox.base_url,
        "object": sandbox.org.kind.name,
    }


def _edit(edit: Edit) -> Edit:
    """Return an edit whose refusal has Salesforce's form."""

    def refusing(identifier: str, values: dict[str, Any]) -> Any:
        try:
            return edit(identifier, values)
        except Refused as error:
            raise EditRefused(error.status, error.body) from error

    return refusing


def _org_id(number: int) -> str:
    return long_id(f"{ORG_PREFIX}{number:012d}") or ""


def _not_started() -> RuntimeError:
    return RuntimeError("the sandbox has not started: enter it with `async with` first")
