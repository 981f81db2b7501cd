"""A customer travels both ways through the whole runtime and a local Salesforce."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.e2e.salesforce.sides import COMPOSITE, QUERY, BothSides, both_sides
from tests.support.wait import until
from zenskar.api.server import serve
from zenskar_salesforce.sandbox import Fault, FaultKind

TOKEN = "token-of-the-end-to-end-tests"
FULL = {"phone": "+44 20", "address": {"line1": "1 Main St", "line2": "Floor 2", "city": "London"}}


@pytest.fixture
async def both(database_url: str) -> AsyncIterator[BothSides]:
    async with both_sides(database_url) as sides:
        yield sides


async def test_a_customer_goes_there_and_an_edit_comes_back(both: BothSides) -> None:
    record_id = await both.flow.create(name="Ada Lovelace", **FULL)
    await both.settle()
    made = both.contact()
    assert (made["FirstName"], made["LastName"]) == ("Ada", "Lovelace")
    assert (made["MailingStreet"], made["Zenskar_Id__c"]) == ("1 Main St\nFloor 2", record_id)

    both.org.edit(made["Id"], FirstName="Mary Ann", LastName="van der Berg", Phone=None)
    await both.field(record_id, "name", "Mary Ann van der Berg")
    await both.settle()
    assert (await both.flow.record(record_id))["phone"] is None

    await both.patch(record_id, name="Marianne van der Berg", metadata={"plan": "pro"})
    edited = both.contact()
    assert (edited["FirstName"], edited["LastName"]) == ("Marianne", "van der Berg")
    await both.settle()
    record = await both.flow.record(record_id)
    assert (record["metadata"], record["email"]) == ({"plan": "pro"}, "ada@example.com")
    assert both.creates() == 1


async def test_a_contact_becomes_a_customer_once_and_its_delete_deletes_it(
    both: BothSides,
) -> None:
    identifier = both.org.add(LastName="Hopper", FirstName="Grace", Email="grace@example.com")
    await both.flow.until_scalar("SELECT count(*) = 1 FROM customers")
    await both.settle()
    record_id = str(await both.flow.scalar("SELECT id FROM customers"))
    both.org.org.delete(identifier, both.org.org.person)

    async def gone() -> bool:
        return (await both.flow.record(record_id))["deleted_at"] is not None

    await until(gone)
    await both.settle()
    assert both.org.living == []
    assert await both.flow.scalar("SELECT count(*) FROM customers") == 1
    assert both.creates() == 0


async def test_a_delete_here_puts_the_contact_into_the_bin(both: BothSides) -> None:
    record_id = await both.flow.create()
    await both.settle()
    identifier = both.contact()["Id"]
    await both.flow.runtime.customers.delete(record_id, correlation_id="test")
    await both.settle()
    assert both.org.org.rows[identifier]["IsDeleted"]
    assert (await both.flow.mapping(record_id, "salesforce"))["state"] == "deleted"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.DROP_ANSWER, path_prefix=COMPOSITE),
        Fault(kind=FaultKind.SERVER_ERROR, effect=True, path_prefix=COMPOSITE),
        Fault(kind=FaultKind.TRUNCATE, path_prefix=COMPOSITE),
        Fault(kind=FaultKind.REFUSE, code="UNABLE_TO_LOCK_ROW", path_prefix=COMPOSITE),
        Fault(kind=FaultKind.REFUSE, status=401, path_prefix=COMPOSITE),
    ],
    ids=lambda fault: f"{fault.kind.value}-{fault.code or fault.status}",
)
async def test_a_create_ends_in_one_contact_under_a_fault(both: BothSides, fault: Fault) -> None:
    both.org.faults.add(fault)
    record_id = await both.flow.create()
    await both.settle()
    assert both.contact()["Zenskar_Id__c"] == record_id
    (event,) = await both.flow.events("outbound")
    assert event["status"] == "succeeded"
    assert (await both.flow.mapping(record_id, "salesforce"))["state"] == "active"


async def test_a_write_that_crosses_an_edit_loses_neither(database_url: str) -> None:
    # Without a further poll, only the refused write can show the edit.
    async with both_sides(database_url, SALESFORCE_POLL_SECONDS="3600") as both:
        record_id = await both.flow.create()
        await both.settle()
        identifier = both.contact()["Id"]
        both.org.shift_clock(2)
        both.org.edit(identifier, Email="eve@example.com", Phone="+49 1")
        await both.patch(record_id, phone="+44 20", name="Eve")
        contact = both.contact()
        assert (contact["Email"], contact["LastName"]) == ("eve@example.com", "Eve")
        record = await both.flow.record(record_id)
        assert (record["email"], record["phone"]) == ("eve@example.com", contact["Phone"])


async def test_an_edit_before_the_lost_answer_is_found_is_kept(both: BothSides) -> None:
    both.org.faults.add(Fault(kind=FaultKind.DROP_ANSWER, path_prefix=COMPOSITE))
    both.org.faults.add(Fault(kind=FaultKind.DELAY, path_prefix=QUERY, delay_seconds=0.3))
    record_id = await both.flow.create()
    await until(lambda: created(both))
    both.org.edit(both.contact()["Id"], Phone="+49 1")
    await both.field(record_id, "phone", "+49 1")
    await both.settle()
    assert (both.contact()["Phone"], both.creates()) == ("+49 1", 1)


async def created(both: BothSides) -> bool:
    return bool(both.org.living)


async def test_a_create_that_arrives_late_makes_no_second_contact(both: BothSides) -> None:
    zombie = Fault(kind=FaultKind.ZOMBIE, path_prefix=COMPOSITE, delay_seconds=0.5)
    both.org.faults.add(zombie)
    record_id = await both.flow.create()
    await both.settle()
    await both.org.settle()
    await both.settle()
    assert both.contact()["Zenskar_Id__c"] == record_id
    (mapping,) = await both.flow.rows("SELECT external_id FROM external_mappings")
    assert mapping["external_id"] == both.contact()["Id"]


async def test_a_hidden_field_pauses_the_connection_and_empties_nothing(both: BothSides) -> None:
    record_id = await both.flow.create()
    await both.settle()
    both.org.org.rights.hidden.add("Email")
    both.org.edit(both.contact()["Id"], Phone="+49 1")
    await both.flow.until_scalar("SELECT count(*) = 1 FROM connections WHERE paused_at IS NOT NULL")
    record = await both.flow.record(record_id)
    assert (record["email"], record["phone"]) == ("ada@example.com", None)


async def test_merged_contacts_delete_no_customer(both: BothSides) -> None:
    first, second = await both.flow.create(name="Ada"), await both.flow.create(name="Eve")
    await both.settle()
    ids = {row["Zenskar_Id__c"]: row["Id"] for row in both.org.living}
    both.org.org.merge(ids[first], [ids[second]], {}, both.org.org.person)
    both.org.edit(ids[first], Phone="+49 1")
    await both.field(first, "phone", "+49 1")
    await both.patch(second, phone="+44 20")
    for record_id in (first, second):
        assert (await both.flow.record(record_id))["deleted_at"] is None
    assert len(both.org.living) == 1


async def test_a_restored_contact_brings_its_customer_back(both: BothSides) -> None:
    record_id = await both.flow.create()
    await both.settle()
    identifier = both.contact()["Id"]
    both.org.org.delete(identifier, both.org.org.person)

    async def deleted() -> bool:
        return (await both.flow.record(record_id))["deleted_at"] is not None

    await until(deleted)
    await both.settle()
    both.org.shift_clock(2)
    both.org.org.undelete(identifier, both.org.org.person)
    await both.field(record_id, "deleted_at", None)
    await both.settle()
    both.org.edit(identifier, Phone="+49 1")
    await both.field(record_id, "phone", "+49 1")
    assert both.creates() == 1


async def test_a_message_brings_an_edit_at_once(database_url: str) -> None:
    # Without a further poll, only the message can show the edit.
    hourly = {"SALESFORCE_POLL_SECONDS": "3600", "SALESFORCE_WEBHOOK_TOKEN": TOKEN}
    async with both_sides(database_url, **hourly) as both, served(both) as address:
        endpoint = both.org.add_webhook_endpoint(f"{address}/wrong-token", TOKEN)
        record_id = await both.flow.create()
        await both.settle()
        assert list(both.org.deliveries) == []

        both.org.edit(both.contact()["Id"], Email="eve@example.com", Phone="+49 1")
        await until(lambda: refused(both))
        both.org.remove_webhook_endpoint(endpoint.id)
        both.org.add_webhook_endpoint(f"{address}/{TOKEN}", TOKEN)
        both.org.faults.add(Fault(kind=FaultKind.WEBHOOK_DUPLICATE))
        both.org.edit(both.contact()["Id"], Email="eva@example.com")
        await both.org.settle()
        await both.field(record_id, "email", "eva@example.com")
        await both.settle()
        assert (await both.flow.record(record_id))["phone"] == "+49 1"
        assert [each.status for each in both.org.deliveries][-2:] == [200, 200]
        assert {each["status"] for each in await both.flow.events("inbound")} <= {
            *("succeeded", "ignored")
        }


async def refused(both: BothSides) -> bool:
    return any(sent.status == 400 for sent in both.org.deliveries)


@asynccontextmanager
async def served(both: BothSides) -> AsyncIterator[str]:
    """Serve the API, and yield the address of webhooks."""
    runtime = both.flow.runtime
    async with serve(runtime.api(), "127.0.0.1", 0, runtime.settings) as address:
        yield f"{address}/webhooks/salesforce"


async def test_a_hidden_contact_is_not_deleted(both: BothSides) -> None:
    record_id = await both.flow.create()
    await both.settle()
    rights = both.org.org.rights
    rights.invisible.add(both.contact()["Id"])
    await both.patch(record_id, phone="+44 20")
    record = await both.flow.record(record_id)
    assert (record["deleted_at"], record["phone"]) == (None, "+44 20")
    assert both.contact()["Phone"] is None
