"""Outbound Messages: only their ids are believed, and nothing else of the XML is read."""

import pytest

from zenskar import BadSignature, Connection, InvalidInput, ObjectRef, WebhookRequest
from zenskar_salesforce import SalesforceIntegration, outbound_messages
from zenskar_salesforce.object_kinds import object_kind
from zenskar_salesforce.sandbox import SalesforceSandbox
from zenskar_salesforce.sandbox.messages import is_acknowledgement
from zenskar_salesforce.sandbox.messages import message as made_message

CONTACT = object_kind()
ORG = "00D000000000001EAA"
SETTINGS = {"client_id": "client", "client_secret": "secret", "domain": "acme.my.salesforce.com"}


def numbered(*contacts: str) -> list[tuple[str, str]]:
    return [(f"04l00000000000{place}AAA", each) for place, each in enumerate(contacts, 1)]


@pytest.fixture
def message(sandbox: SalesforceSandbox) -> bytes:
    made = [sandbox.add(LastName="<Ada> & Co"), sandbox.add(LastName="Byron")]
    return made_message(ORG, numbered(*made, "001000000000001AAA"), sandbox.org.rows)


def integration(**settings: str) -> SalesforceIntegration:
    return SalesforceIntegration(Connection("salesforce", {**SETTINGS, **settings}))


def test_an_event_names_each_contact_of_a_message(message: bytes) -> None:
    body = outbound_messages.read(message)
    found = list(outbound_messages.events(body, ORG, CONTACT))
    assert [(each.id, each.ignored) for each in found] == [
        ("04l000000000001AAA", None),
        ("04l000000000002AAA", None),
        ("04l000000000003AAA", "other_object"),
    ]
    assert found[0].touched == ObjectRef("customer", "003000000000001AAA")
    assert "Byron" not in str(body)


def test_a_message_of_another_org_is_ignored(message: bytes) -> None:
    body = outbound_messages.read(message)
    others = outbound_messages.events(body, "00D000000000002EAA", CONTACT)
    assert {each.ignored for each in others} == {"other_org"}
    assert all(each.touched is None for each in outbound_messages.events(body, "x", CONTACT))


def test_a_broken_notification_stops_none_of_the_others() -> None:
    whole = made_message(ORG, numbered(*["003000000000001AAA"] * 9) * 11, {})
    broken = whole.replace(b"<Id>04l000000000005AAA</Id>", b"", 1)
    body = outbound_messages.read(broken)
    found = list(outbound_messages.events(body, ORG, CONTACT))
    assert [each.ignored for each in found].count("no_id") == 1
    assert len([each for each in found if each.touched]) == len(found) - 1 == 98


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<a/>",
        b"\xff\xfe<",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1/x"><a/>',
        b"<a>" * 100_000,
    ],
    ids=["empty", "json", "other", "binary", "entity", "external", "deep"],
)
def test_any_other_body_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        outbound_messages.read(body)


def test_a_message_with_too_many_notifications_is_refused() -> None:
    one = numbered("003000000000001AAA")
    assert outbound_messages.read(made_message(ORG, one * 100, {}))
    with pytest.raises(InvalidInput):
        outbound_messages.read(made_message(ORG, one * 102, {}))


@pytest.mark.parametrize(
    ("own", "given"), [("a,b", "c"), ("a,b", None), ("", ""), ("", "a"), ("a,b", "a,b")]
)
def test_a_wrong_token_is_refused(own: str, given: str | None) -> None:
    with pytest.raises(BadSignature):
        integration(webhook_token=own).verify_webhook(WebhookRequest({}, b"", token=given))


def test_both_tokens_are_valid_while_they_rotate() -> None:
    for token in ("new", "old"):
        integration(webhook_token="new,old").verify_webhook(WebhookRequest({}, b"", token=token))


def test_the_answer_is_an_acknowledgement() -> None:
    answer = integration().answer_webhook(WebhookRequest({}, b""), 1, 0)
    assert answer.content_type == "text/xml; charset=utf-8"
    assert is_acknowledgement(str(answer.body))
    assert not is_acknowledgement(str(answer.body).replace("true", "false"))
    assert not is_acknowledgement('{"accepted": 1}')


def test_the_id_of_an_org_is_checked() -> None:
    with pytest.raises(InvalidInput, match="ORG_ID"):
        integration(org_id="003000000000001AAA")


async def test_several_contacts_are_fetched_in_one_call(
    sandbox: SalesforceSandbox, salesforce: SalesforceIntegration
) -> None:
    kept, merged, deleted = (sandbox.add(LastName=name) for name in "abc")
    sandbox.org.merge(kept, [merged], {}, sandbox.org.person)
    sandbox.org.delete(deleted, sandbox.org.person)
    found = await salesforce.fetch_many("customer", [kept, merged, deleted, "003000000000099AAA"])
    shown = {each.external_id: (each.data is None, each.merged_into) for each in found}
    assert shown == {kept: (False, None), merged: (True, kept), deleted: (True, None)}
