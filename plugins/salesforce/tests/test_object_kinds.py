"""Translation of names, addresses and ids, in both directions."""

from typing import Any

import pytest

from zenskar import Change, IntentKind, Interval
from zenskar_salesforce.names import split_name
from zenskar_salesforce.object_kinds import ObjectKind, condition, is_merged, object_kind

CONTACT = object_kind()
ACCOUNT = object_kind("Account", metadata_field="Zenskar_Metadata__c", has_codes=True)
BLANK = dict.fromkeys(CONTACT.columns)


def body(
    patch: dict[str, Any],
    memo: Any = None,
    kind: IntentKind = IntentKind.UPDATE,
    of: ObjectKind = CONTACT,
) -> Any:
    return of.from_canonical(Change(kind, "customer", "rec_1", patch, patch, memo))


def row(**values: Any) -> dict[str, Any]:
    stamps = dict.fromkeys(("LastModifiedDate", "SystemModstamp"), "2027-01-15T08:00:00.000+0000")
    return {**BLANK, **stamps, "Id": "003000000000001AAA", "IsDeleted": False, **values}


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("Ada Lovelace", "Ada", "Lovelace"),
        ("Ada", "", "Ada"),
        (" Mary  Ann Smith ", "Mary  Ann", "Smith"),
        ("A  B", "A", "B"),
        ("李 小龍", "李", "小龍"),
    ],
)
def test_the_last_word_of_a_name_is_the_last_name(name: str, first: str, last: str) -> None:
    assert split_name(name) == (first, last)


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("Mary Ann van der Berg-Smith", "Mary Ann", "van der Berg-Smith"),
        ("Marianne van der Berg", "Marianne", "van der Berg"),
        ("Eve Smith", "Eve", "Smith"),
        ("Mary Ann", "Mary", "Ann"),
        (f"Mary Ann {'x' * 60} {'y' * 30}", f"Mary Ann {'x' * 60}", "y" * 30),
    ],
)
def test_the_split_of_a_name_stays_where_a_part_of_it_stays(
    name: str, first: str, last: str
) -> None:
    seen = CONTACT.seen(row(FirstName="Mary Ann", LastName="van der Berg"))
    assert seen.memo == {"first": "Mary Ann", "last": "van der Berg"}
    assert CONTACT.to_canonical(seen.data or {})["name"] == "Mary Ann van der Berg"
    assert split_name(name, seen.memo) == (first, last)
    assert body({"name": name}, seen.memo)["LastName"] == last


def test_a_split_that_the_name_shows_needs_no_memo() -> None:
    assert CONTACT.seen(row(FirstName="Ada", LastName="Lovelace")).memo == {}


@pytest.mark.parametrize(
    ("address", "street"),
    [
        ({"line1": "1 Main St"}, "1 Main St"),
        ({"line1": "1 Main St", "line2": "Floor 2\nRoom 3"}, "1 Main St\nFloor 2\nRoom 3"),
        ({"line1": None, "line2": "Floor 2"}, "Floor 2"),
        ({"city": "London"}, None),
        (None, None),
    ],
)
def test_the_lines_of_an_address_are_one_street(address: Any, street: str | None) -> None:
    made = body({"address": address})
    assert made["MailingStreet"] == street
    assert set(made) == {
        *("MailingStreet", "MailingCity", "MailingState"),
        *("MailingPostalCode", "MailingCountry"),
    }


def test_a_street_of_three_lines_is_two_lines_here() -> None:
    shown = CONTACT.to_canonical(row(MailingStreet="a\r\nb\r\nc", MailingCity="London"))
    assert (shown["address"]["line1"], shown["address"]["line2"]) == ("a", "b\nc")
    assert CONTACT.to_canonical(row())["address"] is None


def test_a_field_that_an_object_does_not_show_is_left_out() -> None:
    assert CONTACT.to_canonical({"Email": "ada@example.com"}) == {"email": "ada@example.com"}


def test_a_create_carries_the_id_of_the_record_and_no_empty_fields() -> None:
    made = body({"name": "Ada", "phone": None}, kind=IntentKind.CREATE)
    assert made == {"Zenskar_Id__c": "rec_1", "FirstName": None, "LastName": "Ada"}


def test_an_update_names_the_changed_fields_only() -> None:
    assert body({"phone": None, "email": "eve@example.com"}) == {
        "Phone": None,
        "Email": "eve@example.com",
    }


def test_a_contact_shows_its_version_and_the_time_of_its_change() -> None:
    seen = CONTACT.seen(row(SystemModstamp="2027-01-15T08:00:07.000+0000", Zenskar_Id__c="rec_1"))
    assert (seen.version, seen.record_id) == ("2027-01-15T08:00:00.000+0000", "rec_1")
    assert seen.changed_at == Interval.of_second(1_800_000_007)
    assert condition(seen.version or "") == {"If-Unmodified-Since": "Fri, 15 Jan 2027 08:00:00 GMT"}


def test_a_contact_in_the_bin_is_deleted_and_a_merged_one_is_known() -> None:
    assert CONTACT.seen(row(IsDeleted=True)).data is None
    assert not is_merged(row(IsDeleted=True))
    merged = row(IsDeleted=True, MasterRecordId="003000000000002AAA")
    assert is_merged(merged)
    assert CONTACT.seen(merged).merged_into == "003000000000002AAA"
    assert CONTACT.seen(row(IsDeleted=True)).merged_into is None


def test_an_account_has_one_name_and_no_mail_address() -> None:
    assert ACCOUNT.carries == ("name", "phone", "address", "metadata")
    made = body({"name": "Ada & Co", "address": {"country": "GB"}}, of=ACCOUNT)
    assert made["Name"] == "Ada & Co"
    assert (made["BillingCountryCode"], made["BillingStateCode"]) == ("GB", None)
    assert ACCOUNT.limits == "account.limits"


@pytest.mark.parametrize(
    ("text", "metadata"),
    [
        (None, {}),
        ("{}", {}),
        ('{"plan": "pro", "seats": 5, "vat": null}', {"plan": "pro", "seats": "5"}),
    ],
)
def test_metadata_is_a_text_there(text: str | None, metadata: dict[str, str]) -> None:
    assert ACCOUNT.to_canonical({"Zenskar_Metadata__c": text}) == {"metadata": metadata}


@pytest.mark.parametrize("text", ["a note of a person", "[1]", "{", "[" * 100_000])
def test_a_text_that_is_no_metadata_empties_nothing(text: str) -> None:
    assert ACCOUNT.to_canonical({"Zenskar_Metadata__c": text}) == {}


def test_metadata_is_pushed_whole_and_equal_metadata_is_an_equal_text() -> None:
    document = {"name": "Ada", "metadata": {"plan": "pro", "city": "Köln"}}
    change = Change(
        IntentKind.UPDATE, "customer", "rec_1", {"metadata": {"old": None}}, document, None
    )
    made = ACCOUNT.from_canonical(change)
    assert made == {"Zenskar_Metadata__c": '{"city": "Köln", "plan": "pro"}'}
    assert CONTACT.from_canonical(change) == {}
    emptied = body({"metadata": {}}, of=ACCOUNT)
    assert emptied == {"Zenskar_Metadata__c": None}
    assert body({"name": "Ada", "metadata": {}}, kind=IntentKind.CREATE, of=ACCOUNT) == {
        "Zenskar_Id__c": "rec_1",
        "Name": "Ada",
    }
