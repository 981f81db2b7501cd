"""Create, read, change and delete customers, each change and its messages in one transaction."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.catalog.business_rules import BusinessRules
from zenskar.catalog.edits import EditRules
from zenskar.catalog.field_limits import FieldLimits
from zenskar.catalog.views import View, view, with_external
from zenskar.db import customers, idempotency
from zenskar.db.customers import Customer
from zenskar.db.driver.engine import by_keys, in_transaction
from zenskar.db.idempotency import Idempotency
from zenskar.errors import NotFound, StateConflict
from zenskar.ids import new_id
from zenskar.kernel.edit import edit
from zenskar.model.actor import Actor
from zenskar.model.envelope import OUTBOUND
from zenskar.model.fields import (
    CUSTOMER,
    Document,
    FieldChanges,
    Fields,
    apply,
    difference,
    flatten,
)
from zenskar.plugins.broadcasts import Broadcaster
from zenskar.plugins.router import PluginRouter
from zenskar.schema_catalog import core_schemas
from zenskar.sync import fanout
from zenskar.sync.fanout import RecordChange
from zenskar.telemetry.logs import get_logger

_log = get_logger(__name__)


class StaleVersion(StateConflict):
    """The record has another version than the caller expects."""


@dataclass(frozen=True, slots=True)
class _Origin:
    """The request that makes a change, its actor and its trace."""

    correlation_id: str
    by: Actor | None
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Created:
    """The answer to a create; `replayed`: the same answer was given before."""

    view: View
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class CustomerPage:
    """A page, newest first; `last_id` is the start of the next page, None on the last page."""

    views: tuple[View, ...]
    last_id: str | None


class CustomerService:
    """Creates, reads, replaces, patches and deletes customers.

    Callers check a new document against its schema before they create a customer.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        router: PluginRouter,
        wake: Callable[[str], None],
        limits: FieldLimits | None = None,
        broadcaster: Broadcaster | None = None,
    ) -> None:
        self._engine = engine
        self._router = router
        self._wake = wake
        self._limits = limits or FieldLimits({})
        self._broadcaster = broadcaster or Broadcaster()
        self._business = BusinessRules(self._broadcaster)
        self._rules = EditRules(core_schemas()[CUSTOMER.entity_type])

    async def create(
        self,
        document: Document,
        *,
        correlation_id: str,
        by: Actor | None = None,
        traceparent: str | None = None,
        once: Idempotency | None = None,
    ) -> Created:
        """Create a customer, or return the stored answer of the same request.

        Raises `SchemaViolation` when a field exceeds the limits of an external system or a plugin
        refuses the customer. Raises `IdempotencyKeyReused`, and `Unavailable` when the key has just
        expired.
        """
        origin = _Origin(correlation_id, by, traceparent)

        async def create(db: AsyncConnection) -> Created:
            customer_id = new_id()
            if once and (stored := await idempotency.reserve(db, once, customer_id)):
                return Created(orjson.loads(stored), replayed=True)
            fields = flatten(CUSTOMER, document)
            self._check(fields, fields, None)
            customer = await customers.create(db, customer_id, fields)
            await self._enqueue(db, customer, fanout.CREATED, origin, fields)
            answer = view(customer)
            if once:
                await idempotency.answer(db, once, orjson.dumps(answer).decode())
            return Created(answer)

        created = await by_keys(self._engine, create)
        if not created.replayed:
            self._changed(created.view["id"], fanout.CREATED, by)
        return created

    async def get(self, customer_id: str) -> View:
        """Return a customer with its state at the external systems. Raises `NotFound`."""

        async def read(db: AsyncConnection) -> View:
            customer = _living(await customers.read(db, customer_id))
            return (await with_external(db, [customer], self._owners, self._limits))[0]

        return await in_transaction(self._engine, read)

    async def replace(
        self,
        customer_id: str,
        document: Document,
        *,
        correlation_id: str,
        by: Actor | None = None,
        traceparent: str | None = None,
        expected: Collection[int] | None = None,
    ) -> View:
        """Replace a customer by a document, within the edit rules.

        Raises `NotFound`, `StaleVersion` unless the customer has one of the `expected` versions,
        and `SchemaViolation`.
        """

        def change(present: Customer) -> Document:
            return self._rules.replaced(present, document)

        return await self._edit(
            customer_id, change, _Origin(correlation_id, by, traceparent), expected
        )

    async def patch(
        self,
        customer_id: str,
        patch: Document,
        *,
        correlation_id: str,
        by: Actor | None = None,
        traceparent: str | None = None,
        expected: Collection[int] | None = None,
    ) -> View:
        """Apply a JSON merge patch (RFC 7396) to a customer, within the edit rules.

        Raises `NotFound`, `StaleVersion` unless the customer has one of the `expected` versions,
        and `SchemaViolation`.
        """

        def change(present: Customer) -> Document:
            return self._rules.patched(present, patch)

        return await self._edit(
            customer_id, change, _Origin(correlation_id, by, traceparent), expected
        )

    async def delete(
        self,
        customer_id: str,
        *,
        correlation_id: str,
        by: Actor | None = None,
        traceparent: str | None = None,
        expected: Collection[int] | None = None,
    ) -> None:
        """Mark a customer as deleted.

        Raises `NotFound`, and `StaleVersion` unless it has one of the `expected` versions.
        """
        origin = _Origin(correlation_id, by, traceparent)

        async def delete(db: AsyncConnection) -> None:
            present = await _locked(db, customer_id, expected)
            deleted = await customers.delete(db, customer_id, version=present.version)
            await self._enqueue(db, _sure(deleted), fanout.DELETED, origin, None)

        await by_keys(self._engine, delete)
        self._changed(customer_id, fanout.DELETED, by)

    async def list(
        self, *, most: int, before: str | None = None, email: str | None = None
    ) -> CustomerPage:
        """Return a page of customers that are older than `before`."""

        async def read(db: AsyncConnection) -> CustomerPage:
            found = await customers.page(db, most=most + 1, before=before, email=email)
            shown = found[:most]
            views = await with_external(db, shown, self._owners, self._limits)
            return CustomerPage(tuple(views), shown[-1].id if len(found) > most else None)

        return await in_transaction(self._engine, read)

    async def _edit(
        self,
        customer_id: str,
        change: Callable[[Customer], Document],
        origin: _Origin,
        expected: Collection[int] | None,
    ) -> View:
        async def write(db: AsyncConnection) -> tuple[Customer, bool]:
            present = await _locked(db, customer_id, expected)
            record = present.record
            wanted = flatten(CUSTOMER, change(present))
            changes = edit(record, difference(record.fields, wanted))
            if not changes:
                return present, False
            fields = apply(record.fields, changes)
            self._check(changes, fields, record.fields)
            written = _sure(await customers.write(db, customer_id, fields, version=present.version))
            before = {path: record.fields.get(path) for path in changes}
            await self._enqueue(db, written, fanout.UPDATED, origin, changes, before)
            return written, True

        customer, changed = await by_keys(self._engine, write)
        if changed:
            self._changed(customer_id, fanout.UPDATED, origin.by)
        return view(customer)

    def _check(self, changes: FieldChanges, fields: Fields, before: Fields | None) -> None:
        """Raise `SchemaViolation` when a change exceeds a limit or breaks a rule."""
        self._limits.check(CUSTOMER.entity_type, changes, before)
        self._limits.check_rules(CUSTOMER.entity_type, fields, before)
        self._business.check(CUSTOMER.entity_type, fields, before)

    def _changed(self, customer_id: str, action: str, by: Actor | None) -> None:
        """Wake the workers; log the change when there is no connection whose history holds it."""
        self._wake(OUTBOUND)
        if not self._owners:
            _log.info("customer_changed", id=customer_id, action=action, by=str(by or ""))

    async def _enqueue(
        self,
        db: AsyncConnection,
        customer: Customer,
        action: str,
        origin: _Origin,
        changes: FieldChanges | None,
        before: FieldChanges | None = None,
    ) -> None:
        change = RecordChange(
            entity_type=CUSTOMER.entity_type,
            record_id=customer.id,
            version=customer.version,
            action=action,
            document=None if customer.deleted_at else customer.document,
            correlation_id=origin.correlation_id,
            traceparent=origin.traceparent,
            changes=dict(changes) if changes else None,
            before=dict(before) if before else None,
            by=origin.by.detail if origin.by else None,
        )
        await fanout.enqueue(db, [(change, source) for source in self._owners])
        fanout.announce_change(self._broadcaster, change)

    @property
    def _owners(self) -> tuple[str, ...]:
        return self._router.owners_of(CUSTOMER.entity_type)


async def _locked(
    db: AsyncConnection, customer_id: str, expected: Collection[int] | None
) -> Customer:
    present = _living(await customers.read(db, customer_id, lock=True))
    if expected is not None and present.version not in expected:
        raise StaleVersion(f"the customer has version {present.version}")
    return present


def _living(customer: Customer | None) -> Customer:
    if customer is None or customer.deleted_at is not None:
        raise NotFound("there is no customer with this id")
    return customer


def _sure(customer: Customer | None) -> Customer:
    """Return the written customer. The row is locked, so its version cannot have changed."""
    if customer is None:
        raise StaleVersion("the customer was changed at the same time")
    return customer
