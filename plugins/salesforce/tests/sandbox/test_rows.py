"""Rows of the sandbox: create, read, update, upsert, delete, and their refusals."""

from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from plugins.salesforce.tests.conftest import Caller
from zenskar_salesforce.outbound_messages import ACKNOWLEDGEMENT
from zenskar_salesforce.record_ids import long_id
from zenskar_salesforce.sandbox import Refused, SalesforceSandbox

ROWS = "/sobjects/Contact"
OWN = "01a20314-5e03-76b9-881e-849ddccd441f"


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("001D000000IqhSL", "001D000000IqhSLIAZ"),
        ("001D000000IqhSLIAZ", "001D000000IqhSLIAZ"),
        ("001d000000IqhSLIAZ", None),
        ("001D000000Iqh", None),
        ("001D000000IqhS'", None),
    ],
)
def test_ids_have_a_form_of_18_characters(given: str, made: str | None) -> None:
    assert long_id(given) == made


async def test_a_created_contact_is_read_by_both_forms_of_its_id(caller: Caller) -> None:
    identifier = await caller.create(FirstName="  Ada ", Phone="")
    for text in (identifier, identifier[:15]):
        found = await caller.call("GET", f"{ROWS}/{text}", fields="FirstName,Name,Phone")
        assert found.status == 200
        url = f"/services/data/v66.0/sobjects/Contact/{identifier}"
        assert found.body == {
            "attributes": {"type": "Contact", "url": url},
            "Id": identifier,
            "FirstName": "Ada",
            "Name": "Ada Lovelace",
            "Phone": None,
        }
    whole = (await caller.call("GET", f"{ROWS}/{identifier}")).body
    assert whole["LastModifiedDate"] == whole["SystemModstamp"] == "2027-01-15T08:00:00.000+0000"


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ({"LastName": " "}, ["REQUIRED_FIELD_MISSING"]),
        ({"LastName": "x" * 81, "Email": "none"}, ["STRING_TOO_LONG", "INVALID_EMAIL_ADDRESS"]),
        ({"Id": "003000000000001AAA"}, ["INVALID_FIELD"]),
        ({"Height": "1"}, ["INVALID_FIELD"]),
        ({"Name": "Ada"}, ["INVALID_FIELD_FOR_INSERT_UPDATE"]),
        ({"Phone": 1}, ["JSON_PARSER_ERROR"]),
    ],
)
async def test_a_create_is_refused_with_every_problem(
    caller: Caller, values: dict[str, Any], codes: list[str]
) -> None:
    reply = await caller.call("POST", ROWS, {"LastName": "Lovelace", **values})
    assert (reply.status, sorted(reply.codes)) == (400, sorted(codes))
    assert caller.sandbox.living == []


async def test_an_update_has_no_body_and_null_unsets(caller: Caller) -> None:
    identifier = await caller.create(Phone="+49 1")
    reply = await caller.call("PATCH", f"{ROWS}/{identifier}", {"Phone": None})
    assert (reply.status, reply.body, reply.headers.get("Content-Type")) == (204, None, None)
    assert caller.sandbox.org.rows[identifier]["Phone"] is None
    reply = await caller.call("PATCH", f"{ROWS}/{identifier}", {"LastName": None})
    assert reply.codes == ["REQUIRED_FIELD_MISSING"]


async def test_the_external_id_is_unique_and_the_refusal_names_the_other(caller: Caller) -> None:
    identifier = await caller.create(Zenskar_Id__c=OWN)
    reply = await caller.call("POST", ROWS, {"LastName": "Other", "Zenskar_Id__c": OWN.upper()})
    assert reply.status == 400
    assert reply.body == [
        {
            "message": "duplicate value found: Zenskar_Id__c duplicates value on record with id: "
            + identifier,
            "errorCode": "DUPLICATE_VALUE",
            "fields": [],
        }
    ]


async def test_a_condition_has_a_resolution_of_a_second(caller: Caller) -> None:
    identifier = await caller.create()
    seen = {"If-Unmodified-Since": "Fri, 15 Jan 2027 08:00:00 GMT"}
    path = f"{ROWS}/{identifier}"
    assert (await caller.call("PATCH", path, {"Phone": "1"}, seen)).status == 204
    caller.sandbox.shift_clock(1)
    assert (await caller.call("PATCH", path, {"Phone": "2"}, seen)).status == 204
    assert (await caller.call("PATCH", path, {"Phone": "3"}, seen)).status == 412
    assert caller.sandbox.org.rows[identifier]["Phone"] == "2"
    wrong = {"If-Unmodified-Since": "yesterday"}
    assert (await caller.call("PATCH", path, {"Phone": "4"}, wrong)).status == 400
    caller.sandbox.shift_clock(5)
    caller.sandbox.org.touch(identifier)
    later = {"If-Unmodified-Since": "Fri, 15 Jan 2027 08:00:01 GMT"}
    assert (await caller.call("PATCH", path, {"Phone": "5"}, later)).status == 204


async def test_a_deleted_contact_lies_in_the_bin_for_15_days(caller: Caller) -> None:
    identifier = await caller.create()
    path = f"{ROWS}/{identifier}"
    assert (await caller.call("DELETE", path)).status == 204
    for method in ("GET", "PATCH", "DELETE"):
        reply = await caller.call(method, path, {"Phone": "1"} if method == "PATCH" else None)
        assert (reply.status, reply.codes) == (404, ["ENTITY_IS_DELETED"])
    caller.sandbox.habits.shows_bin = True
    assert (await caller.call("GET", path)).body["IsDeleted"] is True
    query = "SELECT Id, IsDeleted FROM Contact"
    assert (await caller.query(query))["records"] == []
    assert (await caller.query(query, "queryAll"))["records"][0]["IsDeleted"] is True
    caller.sandbox.shift_clock(15 * 86_400 + 1)
    await caller.log_in()
    assert (await caller.query(query, "queryAll"))["records"] == []
    assert (await caller.call("DELETE", path)).codes == ["NOT_FOUND"]


async def test_an_undelete_and_a_merge_keep_ids(sandbox: SalesforceSandbox) -> None:
    org = sandbox.org
    winner, loser = sandbox.add(LastName="W"), sandbox.add(LastName="L", Zenskar_Id__c=OWN)
    org.merge(winner, [loser], {"Zenskar_Id__c": OWN, "Phone": "1"}, org.person)
    gone = org.rows[loser]
    assert (gone["IsDeleted"], gone["MasterRecordId"], gone["Zenskar_Id__c"]) == (
        True,
        winner,
        None,
    )
    assert org.rows[winner]["Zenskar_Id__c"] == OWN
    org.undelete(loser, org.person)
    assert (org.rows[loser]["IsDeleted"], org.rows[loser]["MasterRecordId"]) == (False, None)
    with pytest.raises(Refused):
        org.undelete(loser, org.person)


async def test_an_upsert_says_whether_it_created(caller: Caller) -> None:
    path = f"{ROWS}/Zenskar_Id__c/{OWN}"
    body = {"LastName": "Lovelace"}
    assert (await caller.call("PATCH", path, body, updateOnly="true")).status == 404
    made = await caller.call("PATCH", path, body)
    assert (made.status, made.body["created"]) == (201, True)
    again = await caller.call("PATCH", path, body)
    assert (again.status, again.body["created"]) == (200, False)
    assert (await caller.call("GET", path)).body["Id"] == made.body["id"]
    assert (await caller.call("PATCH", path, {"Zenskar_Id__c": OWN})).codes == ["INVALID_FIELD"]
    assert (await caller.call("GET", f"{ROWS}/Zenskar_Id__c/")).status == 405


async def test_rights_hide_fields_and_records_from_the_integration_alone(caller: Caller) -> None:
    identifier = await caller.create()
    rights = caller.sandbox.org.rights
    rights.hidden.add("Email")
    rights.read_only.add("Phone")
    path = f"{ROWS}/{identifier}"
    assert "Email" not in (await caller.call("GET", path)).body
    assert (await caller.call("GET", path, fields="Email")).codes == ["INVALID_FIELD"]
    assert (await caller.call("GET", "/query", q="SELECT Email FROM Contact")).codes == [
        "INVALID_FIELD"
    ]
    reply = await caller.call("PATCH", path, {"Phone": "1"})
    assert (reply.codes, reply.body[0]["fields"]) == (
        ["INVALID_FIELD_FOR_INSERT_UPDATE"],
        ["Phone"],
    )
    rights.invisible.add(identifier)
    assert (await caller.call("GET", path)).codes == ["NOT_FOUND"]
    assert (await caller.query("SELECT Id FROM Contact", "queryAll"))["records"] == []
    caller.sandbox.edit(identifier, Email="eve@example.com", Phone="2")
    assert caller.sandbox.org.rows[identifier]["Phone"] == "2"


async def test_a_transaction_commits_late_with_its_old_stamp(caller: Caller) -> None:
    identifier = await caller.create()
    commit = caller.sandbox.hold(identifier, Phone="1")
    caller.sandbox.shift_clock(540)
    query = "SELECT Phone, SystemModstamp FROM Contact"
    assert (await caller.query(query))["records"][0]["Phone"] is None
    commit()
    shown = (await caller.query(query))["records"][0]
    assert (shown["Phone"], shown["SystemModstamp"]) == ("1", "2027-01-15T08:00:00.000+0000")


async def test_the_description_shows_lengths_and_rights(caller: Caller) -> None:
    caller.sandbox.org.rights.read_only.add("Phone")
    described = (await caller.call("GET", f"{ROWS}/describe")).body["fields"]
    fields = {each["name"]: each for each in described}
    assert (fields["LastName"]["length"], fields["LastName"]["nillable"]) == (80, False)
    assert (fields["Phone"]["updateable"], fields["Name"]["createable"]) == (False, False)
    assert fields["Zenskar_Id__c"]["unique"]


async def test_rows_and_their_ids_survive_a_restart(tmp_path: Any) -> None:
    path = tmp_path / "org.db"
    async with SalesforceSandbox(store_path=path) as first:
        kept, purged = first.add(LastName="Kept"), first.add(LastName="Purged")
        first.org.purge(purged)
    assert path.stat().st_mode & 0o077 == 0
    async with SalesforceSandbox(store_path=path) as second:
        assert [row["LastName"] for row in second.living] == ["Kept"]
        assert second.add(LastName="New") != kept


async def test_codes_and_texts_of_an_address_agree(has_codes: Caller) -> None:
    made = await has_codes.create(MailingCountryCode="US", MailingStateCode="FL")
    row = has_codes.sandbox.org.rows[made]
    assert (row["MailingCountry"], row["MailingState"]) == ("United States", "Florida")
    path = f"{ROWS}/{made}"
    assert (await has_codes.call("PATCH", path, {"MailingState": "new york"})).status == 204
    assert has_codes.sandbox.org.rows[made]["MailingStateCode"] == "NY"
    for wrong in (
        {"MailingCountry": "Deutschland"},
        {"MailingCountryCode": "DE"},
        {"MailingCountryCode": None, "MailingStateCode": "FL"},
        {"MailingCountry": "Canada", "MailingCountryCode": "US"},
    ):
        reply = await has_codes.call("PATCH", path, wrong)
        assert reply.codes == ["FIELD_INTEGRITY_EXCEPTION"], wrong
    assert (await has_codes.call("PATCH", path, {"MailingCountryCode": None})).status == 204
    row = has_codes.sandbox.org.rows[made]
    assert {row[f"Mailing{name}"] for name in ("Country", "State", "StateCode")} == {None}


async def test_an_org_of_accounts_has_accounts_only() -> None:
    async with SalesforceSandbox(object_name="Account") as sandbox, ClientSession() as http:
        caller = Caller(sandbox, http)
        await caller.log_in()
        made = await caller.call("POST", "/sobjects/Account", {"Name": "Ada & Co"})
        assert made.body["id"].startswith("001")
        assert (await caller.call("POST", ROWS, {"LastName": "Ada"})).status == 404
        assert (await caller.call("POST", "/sobjects/Account", {})).codes == [
            "REQUIRED_FIELD_MISSING"
        ]
        found = await caller.query("SELECT Name FROM Account WHERE Name LIKE '%Co'")
        assert [each["Name"] for each in found["records"]] == ["Ada & Co"]


async def test_messages_have_new_numbers_after_a_restart(tmp_path: Any) -> None:
    async def acknowledge(_: web.Request) -> web.Response:
        return web.Response(text=ACKNOWLEDGEMENT, content_type="text/xml")

    app = web.Application()
    app.router.add_post("/", acknowledge)
    async with TestServer(app) as server:
        for _ in range(2):
            async with SalesforceSandbox(store_path=tmp_path / "org.db") as sandbox:
                sandbox.send_webhooks_only_to(str(server.make_url("/")), "no secret")
                sandbox.add(LastName="Ada")
                await sandbox.settle()
                sent = [each for event in sandbox.events for each in event["notifications"]]
    assert len({number for number, _ in sent}) == len(sent) == 2
