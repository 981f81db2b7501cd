"""Records that a restored backup does not contain come back from their external objects."""

import asyncio
from uuid import UUID

from tests.support.flow import Flow, open_flow
from tests.support.wait import until
from zenskar.db.driver.engine import transaction
from zenskar.ids import new_id
from zenskar.model.envelope import Envelope
from zenskar.model.fields import CUSTOMER
from zenskar.sync.event_reader import ReceivedWebhook
from zenskar.sync.inbound.apply import InboundSync
from zenskar.sync.ingest.pipeline import WebhookPipeline
from zenskar.sync.message_decoder import observation
from zenskar.sync.work import work_storage

_WAITS_FOR_A_NAME = """
    SELECT count(*) > 0 FROM pg_locks JOIN pg_database AS d ON d.oid = database
    WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted
"""


async def forget(flow: Flow) -> None:
    """Empty the database, as a backup from before every change."""
    async with flow.runtime.engine.begin() as db:
        for table in ("push_intents", "external_mappings", "sync_event_history", "sync_events"):
            await db.exec_driver_sql(f"DELETE FROM {table}")
        await db.exec_driver_sql("DELETE FROM customers")


async def test_a_record_comes_back_under_the_id_that_its_object_names(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        record_id = await flow.create(name="Ada")
        await flow.settle()
        await forget(flow)
        system = flow.systems["fake"]
        (external_id,) = system.objects
        system.edit(external_id, name="Ada L")
        await flow.deliver()
        assert (await flow.record(record_id))["name"] == "Ada L"
        assert (await flow.mapping(record_id))["external_id"] == external_id
        assert len(system.calls) == 1


async def test_what_names_no_id_gets_one_of_its_own(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        system.create(name="Ada", record_id="customer 7")
        await flow.deliver()
        (row,) = await flow.rows("SELECT id FROM customers")
        assert str(row["id"]) != "customer 7"


async def test_two_workers_make_the_record_that_two_objects_name_once(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        context, record_id = flow.runtime.context, new_id()
        first, second = envelopes(flow, record_id)
        seen = observation(CUSTOMER, first.data)
        async with transaction(context.engine) as db:
            work = await work_storage.load(
                db,
                context.connections["fake"],
                "customer",
                external_ids=[seen.external_id],
                record_ids=[record_id],
            )
            other = asyncio.create_task(InboundSync(context).apply([second]))
            await until(lambda: flow.scalar(_WAITS_FOR_A_NAME))
            _, outcome = work.observe(seen)
            await work_storage.flush(db, work)
        ((applied,), _) = await other
        assert (outcome.verdict, applied.verdict) == ("created", "duplicate")
        assert await flow.scalar("SELECT id FROM customers") == UUID(record_id)


def envelopes(flow: Flow, record_id: str) -> list[Envelope]:
    """Webhooks of two objects that name one record."""
    system = flow.systems["fake"]
    for name in ("Ada", "Eve"):
        system.create(name=name, record_id=record_id)
    reader = WebhookPipeline(flow.runtime.context, flow.runtime.schemas["event"])
    webhooks = [ReceivedWebhook("fake", webhook, "test") for webhook in system.webhooks]
    system.webhooks.clear()
    return [
        m.envelope
        for item in reader.read(webhooks)
        for m in [event.message for event in item.events]
        if m
    ]
