"""An inbound event creates, links or deletes a record, and has one effect."""

from tests.support.fake import FakeError
from tests.support.flow import open_flow
from zenskar import FailureKind


async def test_an_external_customer_becomes_a_record_and_an_event_has_one_effect(
    database_url: str,
) -> None:
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        system.create(name="Grace", email="grace@example.com")
        system.webhooks *= 3
        await flow.deliver()
        (record,) = await flow.rows("SELECT * FROM customers")
        assert record["name"] == "Grace"
        assert len(await flow.events("inbound")) == 1
        assert system.calls == []


async def test_a_webhook_before_the_answer_is_linked(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]

        def lose_the_answer(_push: object) -> None:
            system.after = lambda _push: None
            raise FakeError(FailureKind.UNKNOWN_OUTCOME)

        system.after = lose_the_answer
        record_id = await flow.create()
        await flow.settle()
        await flow.deliver()
        assert len(system.objects) == 1
        assert await flow.scalar("SELECT count(*) FROM customers") == 1
        assert (await flow.mapping(record_id))["state"] == "active"


async def test_an_external_delete_deletes_the_record_for_good(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        record_id = await flow.create()
        await flow.settle()
        system = flow.systems["fake"]
        external_id = next(iter(system.objects))
        system.edit(external_id, name="Late")
        late = system.webhooks.pop()
        system.delete(external_id)
        await flow.deliver()
        system.webhooks.append(late)
        await flow.deliver()
        assert (await flow.record(record_id))["deleted_at"] is not None
        assert (await flow.mapping(record_id))["state"] == "deleted"
        assert await flow.scalar("SELECT count(*) FROM customers") == 1
