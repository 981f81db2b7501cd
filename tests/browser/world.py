"""A console with something on every page: hostile names, failures, a pause."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.console import OpenConsole, open_console
from tests.support.fake import FakeError
from zenskar import FailureKind, WebhookRequest
from zenskar.db.driver.engine import in_transaction
from zenskar.model.actor import Actor
from zenskar.model.operator_run import RunKind
from zenskar.model.scope import Scope
from zenskar.ops import connections
from zenskar.ops.runs import run_requests
from zenskar.ops.runs.run_requests import RunRequest

HOSTILE = (
    '<img src=x onerror="alert(1)">',
    "'); DROP TABLE customers; --",
    "\u202egnirts desrever",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    "{{ 7 * 7 }} ${7 * 7}",
    "W" * 180,
    "a\tb\u0007c",
)
LONG = "\u202e<b>" + "W" * 5_000 + " \u0645\u0631\u062d\u0628\u0627" * 1_000
"""A name that an external system holds; ours are shorter."""


@dataclass(frozen=True)
class World:
    """A console, and the values that stand for the placeholders in the paths of its pages."""

    console: OpenConsole
    values: Mapping[str, str]

    @property
    def address(self) -> str:
        return self.console.address


@asynccontextmanager
async def open_world(
    database_url: str,
    changed_name: str = "Changed <b>there</b>",
    reason: str = "an <i>incident</i>",
    **settings: Any,
) -> AsyncIterator[World]:
    """Open a console without a login unless the settings say otherwise.

    An external system changes the name of the first record to `changed_name`. A connection is
    paused for a `reason`.
    """
    chosen = {"auth": "off"} | settings
    opened = open_console(database_url, "crm", "billing", working=True, **chosen)
    async with opened as console:
        yield World(console, await _fill(console, changed_name, reason))


_PAST_HOUR = """
    INSERT INTO sync_events (id, direction, source_system, entity_type, event_type, correlation_id,
                             status, reason, created_at, updated_at)
    SELECT CAST(lpad(to_hex(CAST(extract(epoch FROM at) * 1000 AS bigint)), 12, '0') || '7000'
                || '8' || lpad(to_hex(n), 15, '0') AS uuid),
           CASE WHEN n % 5 < 2 THEN 'outbound' ELSE 'inbound' END,
           CASE WHEN n % 3 = 0 THEN 'billing' ELSE 'crm' END,
           'customer', 'customer.updated', 'past', 'succeeded', 'merged', at, at
    FROM (SELECT n, now() - interval '59 minutes' * n / 1500 AS at
          FROM generate_series(30, 1500) AS n
          WHERE abs(hashtext(CAST(n AS text))) % 100 < 55 + 40 * sin(n / 110.0)) AS event
"""


async def _fill(console: OpenConsole, changed_name: str, reason: str) -> dict[str, str]:
    """Create records, edits of both sides, dead letters, and a paused connection."""
    flow = console.flow
    async with flow.runtime.engine.begin() as db:
        await db.exec_driver_sql(_PAST_HOUR)
    crm, billing = flow.systems["crm"], flow.systems["billing"]
    records = [
        await flow.create(name=name, email=f"person{number}@example.com", phone="+49 30 1234")
        for number, name in enumerate(HOSTILE)
    ]
    ada = await flow.create(name="Ada Lovelace", email="ada@example.com", phone="+44 20 7946")
    await flow.settle()
    first = next(iter(crm.objects))
    crm.edit(first, name=changed_name)
    await flow.deliver("crm")
    billing.before = _refuse
    await flow.create(name="Refused", email="refused@example.com")
    await flow.settle()
    webhook = WebhookRequest({"x-signature": "good"}, b'{"id": "<script>", "type": 1}', 0.0)
    await flow.runtime.ingress.accept("crm", webhook, "test")
    by, broadcaster = (
        Actor("test", "a test", reason),
        flow.runtime.context.broadcaster,
    )
    await in_transaction(
        flow.runtime.engine, lambda c: connections.pause(c, "billing", by, broadcaster)
    )
    await flow.runtime.customers.patch(ada, {"name": "Ada King"}, correlation_id="test")
    await console.key(Scope.READ, "a <s>reader</s>")
    await flow.until_scalar("SELECT EXISTS (SELECT FROM outbox WHERE parked)")
    request = RunRequest(RunKind.PLAN_REPAIR, "crm", "customer")
    run = await in_transaction(
        flow.runtime.engine, lambda c: run_requests.request_run(c, request, by)
    )
    (event,) = await flow.rows(
        "SELECT id FROM sync_events WHERE status = 'dead' ORDER BY id LIMIT 1"
    )
    return {
        "name": "crm",
        "entity": "customer",
        "id": records[0],
        "record_id": records[0],
        "waiting_id": ada,
        "event_id": str(event["id"]),
        "run_id": run.id,
        "place": f"outbox/{await flow.scalar('SELECT min(id) FROM outbox')}",
    }


def _refuse(_push: object) -> None:
    raise FakeError(FailureKind.REJECTED)
