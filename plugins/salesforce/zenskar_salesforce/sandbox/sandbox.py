"""The sandbox: an object that serves Salesforce's API under the control of a test."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from aiohttp import web

from zenskar_salesforce.record_ids import ORG_PREFIX, long_id

from .allowance import Allowance
from .control import Controlled, SandboxControl, is_for_this_machine
from .faults import Faults
from .messages import OutboundMessages
from .org import Org, shown_time
from .rest import Habits, Rest
from .rows_file import RowsFile
from .server import LoggedRequest, Server, ServerParts
from .tokens import ConnectedApp, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from .org import Row

APP = ConnectedApp("zenskar-sandbox", "secret-of-the-sandbox")
_IDLE_SECONDS = 7200.0
_GRACE_SECONDS = 2.0


class SalesforceSandbox:
    """A local Salesforce with contacts, as an async context manager.

    `org`, `faults`, `tokens`, `allowance`, `messages`, `habits` and `clock_shift`, in seconds,
    control the sandbox. `requests` holds all requests, oldest first.
    """

    def __init__(
        self,
        *,
        app: ConnectedApp = APP,
        port: int = 0,
        store_path: Path | None = None,
        clock: Callable[[], float] = time.time,
        org_number: int = 1,
        token_idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        self.app, self._port, self._clock = app, port, clock
        self.clock_shift = 0.0
        self._file = RowsFile(store_path)
        org_id = long_id(f"{ORG_PREFIX}{org_number:012d}") or ""
        self.org = Org(self.now, self._file, org_id)
        self.messages = OutboundMessages(self.org)
        self.org.changed = self.messages.changed
        self.faults = Faults()
        self.tokens = Tokens(app, self.now, org_id, token_idle_seconds)
        self.allowance = Allowance(self.now)
        self._rest = Rest(self.org, self.allowance)
        parts = ServerParts(self._rest, self.tokens, self.allowance, self.faults, self.now)
        self._server = Server(parts)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def base_url(self) -> str:
        """Return the address of the API, without a trailing slash."""
        if self._runner is None:
            raise RuntimeError("the sandbox is not running: enter it with `async with` first")
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    @property
    def habits(self) -> Habits:
        """Return the behaviour that a test may change."""
        return self._rest.habits

    @property
    def requests(self) -> list[LoggedRequest]:
        """Return the requests, oldest first."""
        return self._server.requests

    @property
    def contacts(self) -> list[Row]:
        """Return the living contacts, as all users see them."""
        return [row for row in self.org.rows.values() if not row["IsDeleted"]]

    def writes(self) -> list[str]:
        """Return the methods of all writes in composites, oldest first, also of refused ones."""
        calls = [each.body for each in self.requests if each.path.endswith("/composite")]
        parts = [part for body in calls for part in body["compositeRequest"]]
        return [part["method"] for part in parts if part["method"] != "GET"]

    def now(self) -> float:
        """Return the present time of the sandbox in Unix seconds."""
        return self._clock() + self.clock_shift

    def edit(self, identifier: str, **values: object) -> Row:
        """Change a contact as a person does, and return it."""
        self.org.update(identifier, values, self.org.person)
        return self.org.rows[identifier]

    def add(self, **values: object) -> str:
        """Create a contact as a person does, and return its id."""
        return self.org.create(values, self.org.person)

    def hold(self, identifier: str, **values: object) -> Callable[[], None]:
        """Change a contact in a transaction that is open; the returned function commits it.

        The stamps are those of now, and no call sees the change before the commit.
        """
        before = self.org.rows[identifier]
        held: Row = {**self.edit(identifier, **values)}
        self.org.commit(before)
        return lambda: self.org.commit(held)

    def stamp(self) -> str:
        """Return the present second, as the API shows times."""
        return shown_time(self.now())

    async def start(self) -> None:
        """Listen. Raises `OSError` when the port is in use."""
        app = web.Application(client_max_size=16 * 1024**2)
        controlled = Controlled(self.org, self.faults, self.tokens, self.requests)
        app.add_routes(SandboxControl(controlled).routes())
        app.router.add_route("*", "/{tail:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner

    async def settle(self) -> None:
        """Wait for the effects of late calls, and for every message."""
        await self._server.settle()
        await self.messages.settle()

    async def stop(self) -> None:
        """Stop at once; the rows stay in the file, if the sandbox has one."""
        runner, self._runner = self._runner, None
        await self.messages.close()
        await self._server.close()
        if runner is not None:
            await runner.cleanup()
        self._file.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if not is_for_this_machine(request):
            raise web.HTTPForbidden(text="the sandbox answers to this machine only")
        return await self._server.handle(request)


def settings_of(sandbox: SalesforceSandbox) -> Mapping[str, str]:
    """Return the settings of a connection to a sandbox."""
    return {
        "client_id": sandbox.app.client_id,
        "client_secret": sandbox.app.client_secret,
        "domain": sandbox.base_url,
    }
