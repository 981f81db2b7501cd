"""Accounts, metadata and codes of addresses through the whole runtime, and the limits of each."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.e2e.salesforce.sides import BothSides, both_sides
from tests.support.wait import until
from zenskar.errors import SchemaViolation
from zenskar_salesforce.sandbox import SalesforceSandbox

FIELD = "Zenskar_Metadata__c"
WITH_METADATA = {"SALESFORCE_METADATA_FIELD": FIELD}


@pytest.fixture
async def both(database_url: str) -> AsyncIterator[BothSides]:
    async with both_sides(database_url, **WITH_METADATA) as sides:
        yield sides


@pytest.fixture
async def accounts(database_url: str) -> AsyncIterator[BothSides]:
    sandbox = SalesforceSandbox(object_name="Account")
    async with both_sides(database_url, sandbox, **WITH_METADATA) as sides:
        yield sides


@pytest.fixture
async def codes(database_url: str) -> AsyncIterator[BothSides]:
    sandbox = SalesforceSandbox(has_codes=True)
    async with both_sides(database_url, sandbox, SALESFORCE_ADDRESS_CODES="true") as sides:
        yield sides


async def test_a_customer_is_an_account_both_ways(accounts: BothSides) -> None:
    name = f"{'Long ' * 40}Ltd"
    record_id = await accounts.flow.create(
        name=name, address={"line1": "1 Main St", "city": "London"}, metadata={"plan": "pro"}
    )
    await accounts.settle()
    made = accounts.contact()
    assert (made["Name"], made["Zenskar_Id__c"], made[FIELD]) == (
        name,
        record_id,
        '{"plan": "pro"}',
    )
    assert (made["BillingStreet"], made["BillingCity"]) == ("1 Main St", "London")

    accounts.org.edit(made["Id"], Name="Ada & Co", BillingCity="Paris")
    await accounts.field(record_id, "name", "Ada & Co")
    await accounts.patch(record_id, phone="+44 20")
    record = await accounts.flow.record(record_id)
    assert (record["email"], record["address"]["city"]) == ("ada@example.com", "Paris")
    assert accounts.contact()["Phone"] == "+44 20"
    assert accounts.creates() == 1

    accounts.org.add(Name="Grace Ltd")
    await accounts.flow.until_scalar("SELECT count(*) = 1 FROM customers WHERE name = 'Grace Ltd'")
    await accounts.settle()
    accounts.org.delete(made["Id"])

    async def deleted() -> bool:
        return (await accounts.flow.record(record_id))["deleted_at"] is not None

    await until(deleted)


async def test_metadata_travels_and_a_note_of_a_person_empties_nothing(both: BothSides) -> None:
    record_id = await both.flow.create(metadata={"plan": "pro", "seats": "5"})
    await both.settle()
    identifier = both.contact()["Id"]
    assert both.contact()[FIELD] == '{"plan": "pro", "seats": "5"}'
    both.org.edit(identifier, **{FIELD: '{"plan": "free", "vat": 7}'})
    await both.field(record_id, "metadata", {"plan": "free", "vat": "7"})
    both.org.edit(identifier, **{FIELD: "called on Monday"}, Phone="+49 1")
    await both.field(record_id, "phone", "+49 1")
    assert (await both.flow.record(record_id))["metadata"] == {"plan": "free", "vat": "7"}
    await both.patch(record_id, metadata={"vat": None})
    assert both.contact()[FIELD] == '{"plan": "free"}'


async def test_metadata_stays_here_when_the_org_has_no_field_for_it(database_url: str) -> None:
    async with both_sides(database_url) as both:
        record_id = await both.flow.create(metadata={"plan": "pro"})
        await both.settle()
        both.org.edit(both.contact()["Id"], Phone="+49 1")
        await both.field(record_id, "phone", "+49 1")
        await both.settle()
        assert (await both.flow.record(record_id))["metadata"] == {"plan": "pro"}


async def test_codes_of_an_address_travel_both_ways(codes: BothSides) -> None:
    address = {"line1": "1 Main St", "state": "FL", "country": "US"}
    record_id = await codes.flow.create(address=address)
    await codes.settle()
    made = codes.contact()
    assert (made["MailingState"], made["MailingCountry"]) == ("Florida", "United States")
    codes.org.edit(made["Id"], MailingState="New York", Phone="+49 1")
    await codes.field(record_id, "phone", "+49 1")
    here = (await codes.flow.record(record_id))["address"]
    assert (here["state"], here["country"]) == ("NY", "US")


async def test_a_country_outside_the_list_becomes_one_dead_letter_that_names_it(
    codes: BothSides,
) -> None:
    await codes.flow.create(address={"country": "Deutschland"})
    await codes.settle()
    (event,) = await codes.flow.events("outbound")
    assert (event["status"], event["error_kind"]) == ("dead", "rejected")
    assert "FIELD_INTEGRITY_EXCEPTION, fields MailingCountry" in event["error_message"]
    assert "Deutschland" not in event["error_message"]
    assert codes.org.writes() == ["POST"]


TOO_LONG: dict[str, dict[str, Any]] = {
    "/name": {"name": "x" * 81},
    "/email": {"email": f"{'x' * 80}@example.com"},
    "/phone": {"phone": "1" * 41},
    "/address/city": {"address": {"city": "x" * 41}},
    "/address/postal_code": {"address": {"postal_code": "x" * 21}},
    "/address/line1": {"address": {"line1": "x" * 256}},
}


async def test_a_value_that_a_contact_cannot_hold_is_refused_before_it_is_stored(
    both: BothSides,
) -> None:
    for pointer, document in TOO_LONG.items():
        with pytest.raises(SchemaViolation) as caught:
            await both.flow.create(**document)
        (violation,) = caught.value.violations
        assert violation.pointer == pointer
        assert violation.message.endswith("for connection salesforce")
    assert await both.flow.scalar("SELECT count(*) FROM customers") == 0


async def test_the_limits_are_those_of_the_object(accounts: BothSides) -> None:
    await accounts.flow.create(name="x" * 255, email=f"{'x' * 100}@example.com")
    with pytest.raises(SchemaViolation) as caught:
        await accounts.flow.create(name="x" * 256)
    (violation,) = caught.value.violations
    assert violation.pointer == "/name"


async def test_names_and_streets_fit_or_are_refused_once(both: BothSides) -> None:
    four_lines = {"line1": "1 Main St", "line2": "Floor 2\nRoom 3\nDesk 4"}
    await both.flow.create(name="Jr.", address=four_lines)
    await both.settle()
    await both.flow.create(address={"line1": "x" * 200, "line2": "y" * 100})
    await both.settle()
    fits, refused = await both.flow.events("outbound")
    assert (fits["status"], refused["status"]) == ("succeeded", "dead")
    assert "STRING_TOO_LONG, fields MailingStreet" in refused["error_message"]
    assert both.org.writes() == ["POST", "POST"]
    assert both.contact()["MailingStreet"] == "1 Main St\nFloor 2\nRoom 3\nDesk 4"
