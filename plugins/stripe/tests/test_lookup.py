"""Listing misses nothing, and finding reads our own writes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from zenskar import ExternalObject
from zenskar_stripe import StripeIntegration, lookup
from zenskar_stripe.sandbox import StripeSandbox

from .conftest import KEY, Open, Serve

START = 1_800_000_000


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = float(START)

    def __call__(self) -> float:
        return self.now


def add(sandbox: StripeSandbox, record: str | None = None) -> str:
    metadata = {"zenskar_id": record} if record else {}
    return str(sandbox.dashboard.create({"metadata": metadata})["id"])


async def every(stripe: StripeIntegration, between: Any = lambda: None) -> list[ExternalObject]:
    """All pages, with something happening between one and the next."""
    found: list[ExternalObject] = []
    cursor = None
    while True:
        page = await stripe.list_page("customer", cursor)
        found += page.objects
        cursor = page.next_cursor
        if cursor is None:
            return found
        between()


async def test_pages_hold_every_customer_once(
    stripe: StripeIntegration, sandbox: StripeSandbox
) -> None:
    made = [add(sandbox) for _ in range(201)]
    assert [each.external_id for each in await every(stripe)] == made[::-1]


async def test_an_account_without_customers(stripe: StripeIntegration) -> None:
    assert await every(stripe) == []
    assert await stripe.find("customer", "rec_1") is None


async def test_customers_that_come_and_go_make_no_other_be_missed(
    stripe: StripeIntegration, sandbox: StripeSandbox
) -> None:
    def change() -> None:
        sandbox.dashboard.delete(last_of_page.pop())
        add(sandbox)

    made = [add(sandbox) for _ in range(201)]
    last_of_page = [made[1], made[101]]
    assert {each.external_id for each in await every(stripe, change)} >= set(made)


async def test_a_cursor_whose_customer_is_gone(opened: Open, served: Serve) -> None:
    server = FakeStripe(lost="cus_2")
    stripe = await opened(api_base=await served(server.answer))
    await every(stripe)
    assert server.asked == [
        {"limit": "100"},
        {"limit": "100", "starting_after": "cus_2"},
        {"limit": "100", "created[lte]": str(START - 2 * FakeStripe.APART)},
        {"limit": "100", "starting_after": "cus_4"},
    ]


@pytest.mark.parametrize("unreadable", [{}, {"id": 7, "created": START}, None, "cus_2"], ids=str)
async def test_an_unreadable_customer_stops_no_page(
    opened: Open, served: Serve, unreadable: Any
) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.query.get("starting_after"))
        known = {"id": f"cus_{len(asked)}", "object": "customer", "created": START}
        return web.json_response({"data": [known, unreadable], "has_more": len(asked) == 1})

    stripe = await opened(api_base=await served(answer))
    assert [each.external_id for each in await every(stripe)] == ["cus_1", "", "cus_2", ""]
    assert asked == [None, "cus_1"]


@pytest.mark.parametrize("position", [0, 150])
async def test_our_own_write_is_found_at_once(opened: Open, position: int) -> None:
    async with StripeSandbox(api_key=KEY, search_lag=3600) as sandbox:
        stripe = await opened(api_base=sandbox.base_url)
        made = [add(sandbox, "rec_1" if number == position else None) for number in range(160)]
        found = await stripe.find("customer", "rec_1")
    assert found is not None
    assert (found.external_id, found.record_id) == (made[position], "rec_1")


async def test_an_old_customer_is_searched_for(opened: Open) -> None:
    clock = Clock()
    async with StripeSandbox(api_key=KEY, clock=clock) as sandbox:
        stripe = await opened(api_base=sandbox.base_url)
        old = add(sandbox, "rec_'1\\")
        await spread(sandbox, clock)
        found = await stripe.find("customer", "rec_'1\\")
        assert found is not None
        assert found.external_id == old
        paths = [call.path for call in sandbox.requests]
        assert paths[-2:] == ["/v1/customers/search", f"/v1/customers/{old}"]
        assert await stripe.find("customer", "rec_2") is None


async def test_a_deleted_one_that_search_still_shows(opened: Open, served: Serve) -> None:
    server = FakeStripe(found=["cus_9"], stubs=["cus_9"])
    stripe = await opened(api_base=await served(server.answer))
    found = await stripe.find("customer", "rec_9")
    assert found is not None
    assert replace(found, answered_at=None) == ExternalObject("customer", "cus_9", None, "rec_9")


async def test_one_that_lost_our_id_since_it_was_indexed(opened: Open, served: Serve) -> None:
    stripe = await opened(api_base=await served(FakeStripe(found=["cus_9"]).answer))
    assert await stripe.find("customer", "rec_9") is None


@pytest.mark.parametrize("status", [400, 404])
async def test_without_search_the_list_is_read_to_its_end(
    opened: Open, served: Serve, status: int
) -> None:
    stripe = await opened(api_base=await served(FakeStripe(search_status=status).answer))
    found = await stripe.find("customer", "rec_6")
    assert found is not None
    assert found.external_id == "cus_6"


async def test_the_list_is_not_read_for_ever_where_there_is_search(
    opened: Open, served: Serve
) -> None:
    server = FakeStripe(apart=0, pages=10**6)
    stripe = await opened(api_base=await served(server.answer))
    assert await stripe.find("customer", "rec_x") is None
    assert len(server.asked) == lookup.MAX_PAGES


async def spread(sandbox: StripeSandbox, clock: Clock) -> None:
    """More than a page of customers over more time than search may lag."""
    for _ in range(150):
        clock.now += 60
        add(sandbox)


class FakeStripe:
    """Pages of two customers, hours apart, and a search of its own mind."""

    APART = 3601

    def __init__(
        self,
        *,
        found: Sequence[str] = (),
        stubs: Sequence[str] = (),
        search_status: int = 200,
        apart: int = APART,
        pages: int = 3,
        lost: str | None = None,
    ) -> None:
        self.found, self.stubs, self.search_status = found, stubs, search_status
        self.apart, self.pages, self.lost = apart, pages, lost
        self.asked: list[dict[str, str]] = []
        self._shown = 0

    async def answer(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix("/v1/customers").strip("/")
        if path == "search":
            return self._search()
        if path:
            return web.json_response({"id": path, "deleted": path in self.stubs})
        self.asked.append(dict(request.query))
        if request.query.get("starting_after") == self.lost is not None:
            return refused(400, param="starting_after", code="resource_missing")
        return web.json_response(self._page())

    def _search(self) -> web.Response:
        if self.search_status != 200:
            return refused(self.search_status)
        return web.json_response({"data": [{"id": each} for each in self.found]})

    def _page(self) -> dict[str, Any]:
        customers = [self._customer(self._shown + number) for number in (1, 2)]
        self._shown += 2
        return {"data": customers, "has_more": self._shown < 2 * self.pages}

    def _customer(self, number: int) -> dict[str, Any]:
        metadata = {"zenskar_id": f"rec_{number}"}
        created = START - number * self.apart
        return {"id": f"cus_{number}", "created": created, "metadata": metadata}


def refused(status: int, **details: str) -> web.Response:
    error = {"type": "invalid_request_error", "message": "no", **details}
    return web.json_response({"error": error}, status=status)
