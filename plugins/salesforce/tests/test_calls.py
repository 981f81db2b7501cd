"""Pushes, reads and the feed of the integration against the sandbox."""

import json
from dataclasses import replace
from typing import Any

import pytest

from plugins.salesforce.tests.conftest import ADA, COMPOSITE, NOW, settings_for
from zenskar import CallFailed, Changes, Connection, FailureKind, IntentKind, Push, PushResult
from zenskar.http import HttpError
from zenskar_salesforce import SalesforceIntegration
from zenskar_salesforce.feed import KEPT_SECONDS, OVERLAP_SECONDS
from zenskar_salesforce.sandbox import Fault, FaultKind, SalesforceSandbox

BODY = {"LastName": "Lovelace", "FirstName": "Ada", "Zenskar_Id__c": "rec_1"}
CREATE = Push(IntentKind.CREATE, "customer", "rec_1", None, BODY)


def update(identifier: str, version: str | None = None, **body: Any) -> Push:
    kind = IntentKind.UPDATE
    return Push(kind, "customer", "rec_1", identifier, body, if_version=version)


async def kind_of(salesforce: SalesforceIntegration, call: Any) -> FailureKind:
    with pytest.raises((HttpError, CallFailed)) as caught:
        await call
    if isinstance(caught.value, CallFailed):
        return caught.value.failure.kind
    found = salesforce.classify_error(caught.value)
    assert found is not None
    return found.kind


async def test_a_push_is_one_call_that_shows_the_contact(
    sandbox: SalesforceSandbox, salesforce: SalesforceIntegration
) -> None:
    await salesforce.health()
    before = sandbox.allowance.used
    made = (await salesforce.push(CREATE)).seen
    assert made.data is not None
    assert (made.data["LastName"], made.record_id, made.answered_at) == ("Lovelace", "rec_1", NOW)
    edited = (await salesforce.push(update(made.external_id, made.version, Phone="1"))).seen
    assert edited.data is not None
    assert edited.data["Phone"] == "1"
    assert sandbox.allowance.used == before + 2


@pytest.mark.parametrize("object_name", ["Contact", "Account"])
async def test_an_update_of_another_version_is_refused(object_name: str) -> None:
    async with SalesforceSandbox(clock=lambda: NOW, object_name=object_name) as sandbox:
        salesforce = SalesforceIntegration(Connection("salesforce", settings_for(sandbox)))
        name = {"Name": "Ada"} if object_name == "Account" else {"LastName": "Ada"}
        created = replace(CREATE, body={**name, "Zenskar_Id__c": "rec_1"})
        made = (await salesforce.push(created)).seen
        sandbox.shift_clock(1)
        sandbox.edit(made.external_id, Phone="2")
        stale = update(made.external_id, made.version, Phone="1")
        assert await kind_of(salesforce, salesforce.push(stale)) is FailureKind.STALE_VERSION
        fresh = await salesforce.fetch("customer", made.external_id)
        assert fresh.version != made.version
        (row,) = sandbox.living
        assert row["Phone"] == "2"
        await salesforce.push(update(made.external_id, fresh.version, Phone="1"))
        (row,) = sandbox.living
        assert row["Phone"] == "1"
        await salesforce.close()


async def test_a_second_create_is_refused_and_the_first_is_found(
    sandbox: SalesforceSandbox, salesforce: SalesforceIntegration
) -> None:
    sandbox.faults.add(Fault(kind=FaultKind.ZOMBIE, path_prefix=COMPOSITE, delay_seconds=0.01))
    assert await kind_of(salesforce, salesforce.push(CREATE)) is FailureKind.UNKNOWN_OUTCOME
    await sandbox.settle()
    assert await kind_of(salesforce, salesforce.push(CREATE)) is FailureKind.UNKNOWN_OUTCOME
    found = await salesforce.find("customer", "rec_1")
    assert found is not None
    assert [row["Id"] for row in sandbox.living] == [found.external_id]
    assert await salesforce.find("customer", "rec_1' OR Id != '") is None


async def test_a_created_contact_that_was_deleted_is_found_as_deleted(
    sandbox: SalesforceSandbox, salesforce: SalesforceIntegration
) -> None:
    made = (await salesforce.push(CREATE)).seen
    sandbox.org.delete(made.external_id, sandbox.org.person)
    found = await salesforce.find("customer", "rec_1")
    assert found is not None
    assert (found.external_id, found.data, found.record_id) == (made.external_id, None, "rec_1")
    again = (await salesforce.push(CREATE)).seen
    found = await salesforce.find("customer", "rec_1")
    assert found is not None
    assert found.external_id == again.external_id


async def test_only_the_bin_proves_a_delete(
    sandbox: SalesforceSandbox, salesforce: SalesforceIntegration
) -> None:
    made = (await salesforce.push(CREATE)).seen
    sandbox.org.rights.invisible.add(made.external_id)
    fetch = salesforce.fetch
    hidden = fetch("customer", made.external_id)
    assert await kind_of(salesforce, hidden) is FailureKind.NOT_VISIBLE
    assert (await salesforce.list_page("customer", None)).objects == ()
    sandbox.org.rights.invisible.clear()
    delete = replace(update(made.external_id), kind=IntentKind.DELETE, body={})
    assert (await salesforce.push(delete)).seen.data is None
    assert (await fetch("customer", made.external_id)).data is None
    assert await kind_of(salesforce, salesforce.push(delete)) is FailureKind.GONE
    sandbox.org.purge(made.external_id)
    purged = fetch("customer", made.external_id)
    assert await kind_of(salesforce, purged) is FailureKind.NOT_VISIBLE


async def test_a_write_counts_when_the_contact_is_no_longer_visible(
    sandbox: SalesforceSandbox, salesforce: SalesforceIntegration
) -> None:
    made = (await salesforce.push(CREATE)).seen

    def move(row: dict[str, Any]) -> None:
        sandbox.org.rights.invisible.add(row["Id"])

    sandbox.org.rights.before_save = move
    result = await salesforce.push(update(made.external_id, Phone="1"))
    assert (result.shows, result.seen.external_id) == (False, made.external_id)
    created = await salesforce.push(replace(CREATE, body={**BODY, "Zenskar_Id__c": "rec_2"}))
    assert not created.shows
    assert created.seen.external_id in sandbox.org.rows


async def test_a_hidden_field_refuses_the_connection_and_empties_nothing(
    sandbox: SalesforceSandbox, salesforce: SalesforceIntegration
) -> None:
    made = (await salesforce.push(CREATE)).seen
    sandbox.org.rights.hidden.add("Email")
    for call in (
        salesforce.health(),
        salesforce.changes(None),
        salesforce.fetch("customer", made.external_id),
    ):
        assert await kind_of(salesforce, call) is FailureKind.CREDENTIALS


async def test_several_pushes_are_one_call_with_an_outcome_each(
    sandbox: SalesforceSandbox, salesforce: SalesforceIntegration
) -> None:
    first, second = [
        (await salesforce.push(replace(CREATE, body={**BODY, "Zenskar_Id__c": name}))).seen
        for name in ("rec_2", "rec_3")
    ]
    sandbox.shift_clock(1)
    sandbox.edit(second.external_id, Phone="1")
    before = sandbox.allowance.used
    delete = replace(update(first.external_id), kind=IntentKind.DELETE, body={})
    stale = update(second.external_id, second.version, Phone="2")
    results = await salesforce.push_many([CREATE, stale, delete])
    made, refused, gone = results
    assert isinstance(made, PushResult)
    assert isinstance(refused, HttpError)
    assert isinstance(gone, PushResult)
    found = salesforce.classify_error(refused)
    assert found is not None
    assert (found.kind, gone.seen.data) == (FailureKind.STALE_VERSION, None)
    assert made.seen.record_id == "rec_1"
    assert sandbox.allowance.used == before + 1
    (usage,) = salesforce.usage()
    assert (usage.used, usage.calls) == (before + 1, sandbox.allowance.limit)


async def test_a_duplicate_rule_is_overridden_on_request_only(sandbox: SalesforceSandbox) -> None:
    sandbox.add(**ADA)
    push = replace(CREATE, body={**BODY, "Email": ADA["Email"]})
    for rule, allowed, created in [
        ("alert", False, False),
        ("alert", True, True),
        ("block", True, False),
    ]:
        sandbox.org.rights.duplicate_rule = rule
        given = settings_for(sandbox, allow_duplicates=allowed)
        salesforce = SalesforceIntegration(Connection("salesforce", given))
        before = len(sandbox.living)
        if created:
            await salesforce.push(push)
        else:
            assert await kind_of(salesforce, salesforce.push(push)) is FailureKind.REJECTED
        await salesforce.close()
        assert len(sandbox.living) == before + created


async def read_all(salesforce: SalesforceIntegration, checkpoint: str | None) -> list[Changes]:
    found = [await salesforce.changes(checkpoint)]
    while found[-1].more:
        found.append(await salesforce.changes(found[-1].checkpoint))
    return found


def ids(found: list[Changes]) -> list[str | None]:
    return [event.id for part in found for event in part.events]


async def test_rows_of_one_stamp_are_read_once_each_on_any_pages(
    sandbox: SalesforceSandbox, salesforce: SalesforceIntegration
) -> None:
    sandbox.habits.page_rows = 3
    names = {sandbox.add(LastName=f"n{number}") for number in range(10)}
    start = json.dumps({"since": int(NOW) - 60})
    found = await read_all(salesforce, start)
    seen = [e.seen.external_id for part in found for e in part.events if e.seen is not None]
    assert (len(seen), set(seen)) == (10, names)
    assert len(found) == 4
    again = await read_all(salesforce, start)
    assert ids(again) == ids(found)
    first = await salesforce.changes(start)
    sandbox.shift_clock(1)
    sandbox.edit(seen[0], Phone="0")
    sandbox.edit(seen[9], Phone="0")
    rest = await read_all(salesforce, first.checkpoint)
    shown = [e.seen.external_id for part in rest for e in part.events if e.seen is not None]
    assert sorted(shown[-2:]) == sorted((seen[0], seen[9]))
    assert sorted(shown) == sorted((set(seen[3:]) - {seen[9]}) | {seen[0], seen[9]})
    found += rest
    sandbox.edit(seen[0], Phone="1")
    assert len(set(ids(await read_all(salesforce, start))) - set(ids(found))) == 1


async def test_a_poll_begins_before_the_last_one(
    sandbox: SalesforceSandbox, salesforce: SalesforceIntegration
) -> None:
    made = sandbox.add(**ADA)
    (first,) = await read_all(salesforce, json.dumps({"since": int(NOW) - 60}))
    commit = sandbox.hold(made, Phone="1")
    sandbox.shift_clock(540)
    (second,) = await read_all(salesforce, first.checkpoint)
    assert ids([second]) == ids([first])
    commit()
    (third,) = await read_all(salesforce, second.checkpoint)
    (event,) = third.events
    assert event.id not in ids([first])
    assert event.seen is not None
    assert event.seen.data is not None
    assert event.seen.data["Phone"] == "1"
    assert json.loads(third.checkpoint)["since"] == NOW + 540 - OVERLAP_SECONDS


async def test_deletes_are_seen_and_merges_delete_nothing(
    sandbox: SalesforceSandbox, salesforce: SalesforceIntegration
) -> None:
    kept, merged, deleted = (
        sandbox.add(LastName=name, Zenskar_Id__c=f"rec_{name}") for name in "abc"
    )
    sandbox.org.merge(kept, [merged], {}, sandbox.org.person)
    sandbox.org.delete(deleted, sandbox.org.person)
    (found,) = await read_all(salesforce, json.dumps({"since": int(NOW) - 60}))
    events = {str(event.id)[:18]: event for event in found.events}
    assert events[kept].seen is not None
    loser = events[merged].seen
    assert loser is not None
    assert (loser.data, loser.merged_into) == (None, kept)
    gone = events[deleted].seen
    assert gone is not None
    assert gone.data is None
    for gone_too in (merged, deleted):
        late = salesforce.push(update(gone_too, Phone="1"))
        assert await kind_of(salesforce, late) is FailureKind.UNKNOWN_OUTCOME
    assert (await salesforce.fetch("customer", merged)).merged_into == kept
    assert await salesforce.find("customer", "rec_b") is None


async def test_a_long_absence_and_another_org_lose_the_position(
    sandbox: SalesforceSandbox, salesforce: SalesforceIntegration
) -> None:
    async def lost(**position: Any) -> bool:
        return (await salesforce.changes(json.dumps(position))).lost

    recent = int(NOW) - 60
    assert not await lost(since=recent, org=sandbox.org_id)
    assert await lost(since=recent, org="00D000000000009EAA")
    assert not await lost(since=int(NOW) - KEPT_SECONDS, org=sandbox.org_id)
    assert await lost(since=int(NOW) - KEPT_SECONDS - 1, org=sandbox.org_id)
    for unreadable in ("", "{", "[]", '{"since": 1, "another": 2}'):
        found = await salesforce.changes(unreadable)
        assert found.lost
        assert not (await salesforce.changes(found.checkpoint)).lost
