"""List customers, and find the customer that carries a record's id."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import stripe

from zenskar import ExternalObject, Page
from zenskar_stripe import customers
from zenskar_stripe.client import StripeApi
from zenskar_stripe.failures import UnreadableAnswer, is_lost_cursor

PAGE = 100
SEARCH_LAG_SECONDS = 3600
"""The lag of Stripe's search in an outage: https://docs.stripe.com/search."""
MAX_PAGES = 50
"""The number of pages of the list to read before the search."""


async def list_page(api: StripeApi, cursor: str | None) -> Page:
    """Return a page of customers, newest first, so that new customers shift no page.

    The cursor also holds the second of its customer's creation. When that customer is deleted
    before the next page is read, the page starts with that second again.
    """
    if cursor is None:
        return await _page(api, {})
    created, _, last = cursor.partition(":")
    try:
        return await _page(api, {"starting_after": last})
    except stripe.InvalidRequestError as error:
        if not is_lost_cursor(error):
            raise
        return await _page(api, {"created": {"lte": int(created)}})


async def find(api: StripeApi, record_id: str) -> ExternalObject | None:
    """Return the customer that carries this record's id, None without one.

    Only the list shows our own writes at once, and only the search is fast in a large account. So
    the list is read as far back as the search may lag, then the search is used. Without a search
    (India, other implementations) the list is read to its end.
    """
    cursor, newest, number, ask = None, 0, 0, True
    while True:
        page, number = await list_page(api, cursor), number + 1
        hit = next((each for each in page.objects if each.record_id == record_id), None)
        if hit is not None or page.next_cursor is None:
            return hit
        newest = newest or max(map(_created, page.objects))
        if ask and (number >= MAX_PAGES or _lag(page, newest) > SEARCH_LAG_SECONDS):
            try:
                return await _search(api, record_id)
            except stripe.InvalidRequestError:
                ask = False
        cursor = page.next_cursor


async def _page(api: StripeApi, params: dict[str, Any]) -> Page:
    answer = await api.list_customers({"limit": PAGE, **params})
    found = tuple(customers.listed(each, answer.at) for each in answer.items)
    return Page(found, _cursor(found) if answer.has_more and found else None, answer.at)


def _cursor(found: Sequence[ExternalObject]) -> str:
    """Return the cursor of the last customer of a page that can be read.

    Objects behind that customer are listed again. Raises `UnreadableAnswer` when nothing leads to
    the next page.
    """
    for each in reversed(found):
        if each.external_id and _created(each):
            return f"{_created(each)}:{each.external_id}"
    raise UnreadableAnswer("no customer of a page can be read")


async def _search(api: StripeApi, record_id: str) -> ExternalObject | None:
    """Search a customer and fetch each result, because the index may show an old state."""
    quoted = record_id.replace("\\", "\\\\").replace("'", "\\'")
    answer = await api.search_customers(f"metadata['{customers.RECORD_KEY}']:'{quoted}'")
    for hit in map(customers.seen, answer.objects):
        read = await api.retrieve_customer(hit.external_id)
        present = customers.seen(read.data, read.at)
        if present.data is None:
            return replace(present, record_id=record_id)
        if present.record_id == record_id:
            return present
    return None


def _lag(page: Page, newest: int) -> int:
    return newest - min(filter(None, map(_created, page.objects)))


def _created(seen: ExternalObject) -> int:
    created = (seen.data or {}).get("created")
    return created if isinstance(created, int) else 0
