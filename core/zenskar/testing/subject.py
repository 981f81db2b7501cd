"""The integration under test, built and called as the core builds and calls it."""

import copy
import importlib.resources
import json
import logging
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from zenskar.errors import CallFailed, ConfigurationError, Failure
from zenskar.model.fields import SHAPES, EntityShape, difference, flatten, merge_patch
from zenskar.model.integration import (
    Change,
    Changes,
    ExternalObject,
    Page,
    Push,
    PushResult,
    WebhookRequest,
)
from zenskar.model.record import IntentKind
from zenskar.plugins.base import BaseIntegration
from zenskar.plugins.carried import carried
from zenskar.plugins.configuration import ConfiguredConnection, configure
from zenskar.plugins.connection_settings import variable
from zenskar.plugins.declaration_problems import find_problem
from zenskar.plugins.discovery import Plugin, package_of
from zenskar.plugins.invoker import PluginInvoker
from zenskar.plugins.router import PluginRouter
from zenskar.schema_catalog import Schema, core_schemas, load_folder
from zenskar.settings import load
from zenskar.sync.translator import Translator
from zenskar.sync.webhook_bodies import BodyReader
from zenskar.telemetry.metrics import Metrics
from zenskar.testing.check_method import require
from zenskar.testing.fault_proxy import FaultProxy

SOURCE = "conformance"
CALL_SECONDS = 10.0
"""The limit of one call; no look-alike needs so long."""
RECORD = "record"
"""The name of the only record of most checks."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An integration with the parts of the core that call it; `faults` breaks its calls."""

    connection: ConfiguredConnection
    router: PluginRouter
    translator: Translator
    invoker: PluginInvoker
    faults: FaultProxy | None = None
    run: uuid.UUID = field(default_factory=uuid.uuid4)

    def record_id(self, name: object = RECORD) -> str:
        """Return the id of a record of this run; a server may hold the records of another run."""
        return str(uuid.uuid5(self.run, str(name)))

    @property
    def integration(self) -> BaseIntegration:
        """Return the integration."""
        return self.connection.integration

    @property
    def entity_types(self) -> tuple[str, ...]:
        """Return the entity types of the integration that become records."""
        return tuple(name for name in self.integration.entities if name in SHAPES)

    @property
    def schemas(self) -> Mapping[str, Schema]:
        """Return the schemas of the plugin."""
        return self.connection.plugin.schemas

    def shape(self, entity_type: str) -> EntityShape:
        """Return the fields that the integration carries."""
        return carried(self.integration, entity_type)

    def fields(self, seen: ExternalObject) -> dict[str, Any]:
        """Return the carried fields of an object with a value; fail for an object that is gone."""
        document = self.translator.document(SOURCE, seen)
        if document is None:
            raise AssertionError("the object is shown as deleted")
        return flatten(self.shape(seen.entity_type), document)

    async def create(
        self, entity_type: str, document: Mapping[str, Any], record_id: str
    ) -> ExternalObject:
        """Create an object with a document, and return its state."""
        change = self._change(IntentKind.CREATE, entity_type, record_id, {}, document)
        return await self.push(self.make_push(change))

    async def update(
        self, seen: ExternalObject, record_id: str, new: Mapping[str, Any]
    ) -> ExternalObject:
        """Change an object until it holds a document, and return its state."""
        document = self.translator.document(SOURCE, seen) or {}
        kind = IntentKind.UPDATE
        change = self._change(kind, seen.entity_type, record_id, document, new, seen.memo)
        return await self.push(self.make_push(change, seen))

    async def delete(self, seen: ExternalObject, record_id: str) -> ExternalObject:
        """Delete an object, and return what the answer shows."""
        return await self.push(self.make_delete(seen, record_id))

    def make_delete(self, seen: ExternalObject, record_id: str) -> Push:
        """Return the push that deletes an object."""
        change = Change(IntentKind.DELETE, seen.entity_type, record_id, {}, {}, seen.memo)
        return self.make_push(change, seen)

    def new_change(self, entity_type: str, document: Mapping[str, Any], record_id: str) -> Change:
        """Return the change that creates an object with a document."""
        return self._change(IntentKind.CREATE, entity_type, record_id, {}, document)

    def update_change(
        self, entity_type: str, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> Change:
        """Return the change that turns one document into another."""
        return self._change(IntentKind.UPDATE, entity_type, "record", old, new)

    def make_push(self, change: Change, seen: ExternalObject | None = None) -> Push:
        """Return the push of a change; the core sends an empty body with a delete."""
        deletes = change.kind is IntentKind.DELETE
        made = {} if deletes else self.router.call(SOURCE, "from_canonical", change=change)
        return Push(
            change.kind,
            change.entity_type,
            change.record_id,
            seen.external_id if seen else None,
            json.loads(json.dumps(made)),
            idempotency_key=str(uuid.uuid4()),
            if_version=seen.version if seen else None,
        )

    async def push(self, push: Push) -> ExternalObject:
        """Make a push, and return the object after it, fetched where the answer shows none."""
        answer = await self.invoker.call(
            SOURCE, "push", PushResult, seconds=CALL_SECONDS, push=push
        )
        result = answer.value
        if result.shows:
            return result.seen
        return await self.fetch(push.entity_type, result.seen.external_id)

    async def fetch(self, entity_type: str, external_id: str) -> ExternalObject:
        """Fetch an object; a failure that proves its deletion is an object without data."""
        answer = await self.invoker.fetch(SOURCE, entity_type, external_id, seconds=CALL_SECONDS)
        return answer.value

    async def find(self, entity_type: str, record_id: str) -> ExternalObject | None:
        """Find the object that carries a record's id."""
        found = await self.invoker.find(SOURCE, entity_type, record_id, seconds=CALL_SECONDS)
        return found.value if found else None

    async def fetch_many(
        self, entity_type: str, external_ids: Sequence[str]
    ) -> dict[str, ExternalObject]:
        """Fetch several objects, and return the objects of these ids by id."""
        answer = await self.invoker.fetch_many(
            SOURCE, entity_type, external_ids, seconds=CALL_SECONDS
        )
        return answer.value

    async def page(self, entity_type: str, cursor: str | None) -> Page:
        """Return a page of the list of all objects."""
        answer = await self.invoker.call(
            SOURCE,
            "list_page",
            Page,
            seconds=CALL_SECONDS,
            entity_type=entity_type,
            cursor=cursor,
        )
        return answer.value

    async def changes(self, checkpoint: str | None) -> Changes:
        """Return the next part of the feed, with the events of its bodies."""
        answer = await self.invoker.call(
            SOURCE, "changes", Changes, seconds=CALL_SECONDS, checkpoint=checkpoint
        )
        part, reader = answer.value, BodyReader(self.router, {SOURCE: self.connection})
        bodies = [(WebhookRequest({}, json.dumps(body).encode()), body) for body in part.bodies]
        events, unread = reader.read_each(SOURCE, bodies, "")
        for each in unread:
            raise AssertionError(f"a body of the feed cannot be read: {each.error}")
        synced = (event for event in events if event.ignored is None)
        return replace(part, events=(*part.events, *synced), bodies=())

    def _change(
        self,
        kind: IntentKind,
        entity_type: str,
        record_id: str,
        old: Mapping[str, Any],
        new: Mapping[str, Any],
        memo: Mapping[str, Any] | None = None,
    ) -> Change:
        shape = self.shape(entity_type)
        changes = difference(flatten(shape, old), flatten(shape, new))
        patch = copy.deepcopy(merge_patch(shape, changes))
        return Change(kind, entity_type, record_id, patch, copy.deepcopy(dict(new)), memo)


def build(kind: type[BaseIntegration], given: Mapping[str, Any]) -> Subject:
    """Build an integration from the texts of its settings.

    Raises `AssertionError` when the core would refuse the class or its settings.
    """
    problem = find_problem(SOURCE, kind)
    require(not problem, f"the declarations are not valid: {problem}")
    try:
        schemas = load_folder(importlib.resources.files(package_of(kind)) / "schemas")
        plugin = Plugin(SOURCE, SOURCE, "", kind, schemas=schemas)
        environment = {variable(SOURCE, name): str(value) for name, value in given.items()}
        settings = load({}, connections=SOURCE)
        connection = configure({SOURCE: plugin}, settings, environment)[SOURCE]
    except ConfigurationError as error:
        raise AssertionError(str(error)) from error
    require(not connection.problem, f"the integration is off: {connection.problem}")
    router = PluginRouter({SOURCE: connection.integration})
    translator = Translator(router, {SOURCE: connection}, core_schemas())
    return Subject(connection, router, translator, PluginInvoker(router, Metrics()))


@asynccontextmanager
async def opened(subject: Subject) -> AsyncIterator[Subject]:
    """Open an integration, and close it at the end."""
    try:
        await subject.integration.open()
        yield subject
    finally:
        await subject.integration.close()


async def failure_of(call: Any) -> Failure:
    """Return the failure of a call, in the integration's classification."""
    try:
        await call
    except CallFailed as error:
        return error.failure
    raise AssertionError("the call succeeded, although it was refused or lost")


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text of a line with its stack trace."""
        if record.name.startswith("zenskar.plugins.") or record.levelno >= logging.WARNING:
            self.texts.append(logging.Formatter().format(record))


@contextmanager
def shown_logs() -> Iterator[list[str]]:
    """Collect the log lines that zenskar shows: all of plugins, of others from `warning` on."""
    handler, plugins, root = _Kept(), logging.getLogger("zenskar.plugins"), logging.getLogger()
    before = plugins.level
    root.addHandler(handler)
    plugins.setLevel(logging.DEBUG)
    try:
        yield handler.texts
    finally:
        plugins.setLevel(before)
        root.removeHandler(handler)
