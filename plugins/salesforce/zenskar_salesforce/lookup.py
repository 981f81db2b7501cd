"""Read records by queries, which also show the recycle bin.

The row API answers 404 for a record that was deleted, and for a record that our user may not see.
"""

from collections.abc import Sequence

from zenskar import CallFailed, ExternalObject, Failure, FailureKind, Page
from zenskar.http import BadAnswer
from zenskar_salesforce.client import Rows, SalesforceApi
from zenskar_salesforce.failures import EXTERNAL_ID
from zenskar_salesforce.object_kinds import is_merged
from zenskar_salesforce.record_ids import long_id

PAGE = 2000
"""The most rows of a page."""
MOST_IDS = 200
"""The most ids in a query, whose address has at most 16,384 bytes."""


async def fetch(api: SalesforceApi, external_id: str) -> ExternalObject:
    """Return a record; only a row in the recycle bin proves its delete or its merge.

    Raises `CallFailed` for a record that is not visible.
    """
    rows = await api.query(f"{api.kind.select} WHERE Id = {quoted(external_id)}", deleted=True)
    if not rows.records:
        text = "Salesforce shows no such record"
        raise CallFailed(Failure(FailureKind.NOT_VISIBLE, text, "not_visible"))
    return api.kind.seen(rows.records[0], rows.answered_at)


async def fetch_many(api: SalesforceApi, external_ids: Sequence[str]) -> list[ExternalObject]:
    """Return records, without those that are not visible."""
    # A text that is no id would refuse the whole query.
    listed = ", ".join(quoted(each) for each in external_ids if long_id(each))
    if not listed:
        return []
    rows = await api.query_whole(f"{api.kind.select} WHERE Id IN ({listed})", deleted=True)
    return [api.kind.seen(row, rows.answered_at) for row in rows.records]


async def find(api: SalesforceApi, record_id: str) -> ExternalObject | None:
    """Return the record that carries this record's id, a living one before a deleted one."""
    where = f"{EXTERNAL_ID} = {quoted(record_id)}"
    rows = await api.query_whole(f"{api.kind.select} WHERE {where}", deleted=True)
    own = [row for row in rows.records if not is_merged(row)]
    own.sort(key=lambda row: bool(row.get("IsDeleted")))
    return api.kind.seen(own[0], rows.answered_at) if own else None


async def list_page(api: SalesforceApi, cursor: str | None) -> Page:
    """Return a page of living records, by rising ids, so that no change shifts a page."""
    after = "" if cursor is None else f" WHERE Id > {quoted(cursor)}"
    rows = await api.query(f"{api.kind.select}{after} ORDER BY Id LIMIT {PAGE}")
    found = tuple(api.kind.listed(row, rows.answered_at) for row in rows.records)
    return Page(found, _last_id(found) if has_more(rows) else None, rows.answered_at)


def _last_id(found: Sequence[ExternalObject]) -> str:
    """Return the last id of a page; rows behind it are listed again. Raises `BadAnswer`."""
    last = next((each.external_id for each in reversed(found) if each.external_id), None)
    if last is None:
        raise BadAnswer("GET", problem="no record")
    return last


def has_more(rows: Rows) -> bool:
    """Return whether further rows follow: Salesforce makes a page shorter as it likes."""
    return bool(rows.records) and (not rows.done or len(rows.records) >= PAGE)


def quoted(text: str) -> str:
    """Return a text as a literal of SOQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
