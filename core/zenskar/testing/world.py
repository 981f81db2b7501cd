"""A whole runtime with an integration, and the look-alike on its other side."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import text

from zenskar.errors import NotFound
from zenskar.model.fields import CUSTOMER, flatten
from zenskar.model.integration import ExternalObject
from zenskar.plugins.connection_settings import variable
from zenskar.plugins.discovery import Plugin
from zenskar.runtime import Runtime, open_runtime
from zenskar.settings import Settings, load
from zenskar.sync.context import no_failpoint
from zenskar.testing.check_method import require
from zenskar.testing.fault_proxy import FaultProxy
from zenskar.testing.subject import SOURCE, Subject

_PAUSE_SECONDS = 0.05
_SHOWN = 5
_QUIET = 3
"""The looks in a row that must find both sides equal, because a reaction may be on its way."""
_QUICKLY = {
    "ZENSKAR_CONNECTIONS": SOURCE,
    "ZENSKAR_POLL_SECONDS": "0.2",
    "ZENSKAR_RETRY_BASE_SECONDS": "0.05",
    "ZENSKAR_RETRY_MAX_SECONDS": "0.5",
    "ZENSKAR_SHUTDOWN_GRACE_SECONDS": "2",
    variable(SOURCE, "poll_seconds"): "0.2",
}
_UNFINISHED = text("""
    SELECT direction, status, coalesce(reason, '-') AS reason,
           coalesce(error_kind, '-') AS error_kind, count(*) AS number
    FROM sync_events WHERE status NOT IN ('succeeded', 'ignored')
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2
""")
_WAITING = text("SELECT count(*) FROM outbox")
_LEASES_OVER = text("UPDATE push_intents SET lease_until = now() WHERE lease_until IS NOT NULL")

Failpoint = Callable[[str], Awaitable[None]]


class Death:
    """A worker that stops working at a failpoint, as a killed process does."""

    def __init__(self, point: str) -> None:
        self.came = asyncio.Event()
        self._point = point

    async def __call__(self, point: str) -> None:
        """Stop here for ever, and at each later failpoint, once the point is reached."""
        if point == self._point:
            self.came.set()
        if self.came.is_set():
            await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class World:
    """The records of a runtime, and the objects of the look-alike.

    `direct` calls the look-alike past the runtime and past `faults`, as another client does.
    """

    direct: Subject
    runtime: Runtime
    environment: Mapping[str, str]
    faults: FaultProxy | None
    patience_seconds: float
    made: list[str] = field(default_factory=list)

    @property
    def text_field(self) -> str:
        """Return a carried field that the checks edit."""
        names = self.direct.shape(CUSTOMER.entity_type).names
        return next(name for name in ("name", "phone", "email") if name in names)

    async def create(self, document: Mapping[str, Any]) -> str:
        """Create a record, and return its id."""
        made = await self.runtime.customers.create(document, correlation_id="conformance")
        self.made.append(str(made.view["id"]))
        return self.made[-1]

    async def edit(self, record_id: str, value: str) -> None:
        """Change the text field of a record."""
        patch = {self.text_field: value}
        await self.runtime.customers.patch(record_id, patch, correlation_id="conformance")

    async def record(self, record_id: str) -> Mapping[str, Any] | None:
        """Return a record as the API shows it, None for a deleted record."""
        try:
            return await self.runtime.customers.get(record_id)
        except NotFound:
            return None

    async def object_of(self, record_id: str) -> ExternalObject:
        """Fetch the object of a record."""
        link = _link((await self.record(record_id)) or {})
        require(link.get("external_id"), "a record has no object")
        return await self.direct.fetch(CUSTOMER.entity_type, str(link["external_id"]))

    async def edit_there(self, record_id: str, value: str) -> None:
        """Change the text field of a record's object on the other side."""
        seen = await self.object_of(record_id)
        document = self.direct.translator.document(SOURCE, seen) or {}
        await self.direct.update(seen, record_id, {**document, self.text_field: value})

    async def delete_there(self, record_id: str) -> None:
        """Delete the object of a record on the other side."""
        await self.direct.delete(await self.object_of(record_id), record_id)
        self.made.remove(record_id)

    async def until_equal(self, what: str) -> None:
        """Wait until both sides are equal and nothing is left to do.

        Raises `AssertionError` with the differences that are left after `patience_seconds`.
        """
        quiet = 0
        differences = ["nothing was compared"]
        try:
            async with asyncio.timeout(self.patience_seconds):
                while quiet < _QUIET:
                    differences = await self._differences()
                    quiet = 0 if differences else quiet + 1
                    await asyncio.sleep(_PAUSE_SECONDS)
        except TimeoutError:
            shown = "; ".join(differences[:_SHOWN])
            raise AssertionError(
                f"{what}: both sides still differ after {self.patience_seconds:g} s: {shown}"
            ) from None

    @asynccontextmanager
    async def worker(self, failpoint: Failpoint = no_failpoint) -> AsyncIterator[None]:
        """Run a worker with a runtime of its own, as another process does."""
        plugins = self.runtime.plugins
        async with open_runtime(
            self.runtime.settings, self.environment, plugins=plugins
        ) as runtime:
            fragile = replace(runtime, context=replace(runtime.context, failpoint=failpoint))
            stopping = asyncio.Event()
            task = asyncio.create_task(fragile.worker().run(stopping))
            try:
                yield
            finally:
                stopping.set()
                if failpoint is not no_failpoint:
                    task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def end_leases(self) -> None:
        """End the leases of a killed worker at once, so that no check waits for them."""
        async with self.runtime.engine.begin() as db:
            await db.execute(_LEASES_OVER)

    async def _differences(self) -> list[str]:
        page = await self.runtime.customers.list(most=100)
        found = [text for view in page.views for text in await self._differs(view)]
        linked = {_link(view).get("external_id") for view in page.views}
        extra = [name for name in await self._living() if name not in linked]
        if len(page.views) != len(self.made):
            found.append(f"{len(page.views)} records exist instead of {len(self.made)}")
        if extra:
            found.append(f"{len(extra)} objects have no record")
        return [*found, *await self._unfinished()]

    async def _differs(self, view: Mapping[str, Any]) -> list[str]:
        link, shape = _link(view), self.direct.shape(CUSTOMER.entity_type)
        if not link.get("external_id"):
            return [f"a record has no object, its state is {link.get('state')}"]
        seen = await self.direct.fetch(CUSTOMER.entity_type, link["external_id"])
        if seen.data is None:
            return ["the object of a record is deleted"]
        ours, theirs = flatten(shape, view), self.direct.fields(seen)
        paths = sorted(p for p in {*ours, *theirs} if ours.get(p) != theirs.get(p))
        found = [f"{p} is {ours.get(p)!r} here and {theirs.get(p)!r} there" for p in paths]
        return found or ([] if link["in_sync"] else ["an equal record is not `in_sync`"])

    async def _living(self) -> list[str]:
        cursor, names = None, list[str]()
        while True:
            page = await self.direct.page(CUSTOMER.entity_type, cursor)
            names += [seen.external_id for seen in page.objects if seen.data is not None]
            cursor = page.next_cursor
            if cursor is None:
                return names

    async def _unfinished(self) -> list[str]:
        async with self.runtime.engine.connect() as db:
            rows = (await db.execute(_UNFINISHED)).mappings().all()
            waiting = await db.scalar(_WAITING)
        found = [
            "{number} {direction} events are {status} ({reason}, {error_kind})".format(**row)
            for row in rows
        ]
        return found + ([f"{waiting} messages wait"] if waiting else [])


def world_settings(given: Mapping[str, Any], url: str) -> tuple[Settings, dict[str, str]]:
    """Return the settings and the environment of a runtime with the settings of a connection."""
    environment = {
        **_QUICKLY,
        "ZENSKAR_DATABASE_URL": url,
        **{variable(SOURCE, name): str(value) for name, value in given.items()},
    }
    return load(environment), environment


def plugin_of(subject: Subject) -> Mapping[str, Plugin]:
    """Return the only plugin of a runtime."""
    return {SOURCE: subject.connection.plugin}


def _link(view: Mapping[str, Any]) -> Mapping[str, Any]:
    links = view.get("external", ())
    return next((link for link in links if link["source_system"] == SOURCE), {})
