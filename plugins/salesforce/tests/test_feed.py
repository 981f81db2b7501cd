"""Rows that cannot be read stop neither the feed nor the list."""

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from plugins.salesforce.tests.conftest import settings_for
from zenskar import Connection
from zenskar_salesforce import SalesforceIntegration
from zenskar_salesforce.object_kinds import object_kind
from zenskar_salesforce.sandbox import SalesforceSandbox

FIRST, SECOND = "003000000000001AAA", "003000000000002AAA"
STAMP = "2026-11-01T12:00:00.000+0000"
UNREADABLE: dict[str, Any] = {
    "no object": None,
    "no id": {"IsDeleted": False, "SystemModstamp": STAMP},
    "no stamp": {"Id": SECOND, "IsDeleted": False},
    "a stamp that is no time": {"Id": SECOND, "IsDeleted": False, "SystemModstamp": "x"},
    "not known whether deleted": {"Id": "x", "SystemModstamp": STAMP},
}


def row(identifier: str) -> dict[str, Any]:
    blank = dict.fromkeys(object_kind().columns)
    known = {"Id": identifier, "IsDeleted": False, "LastName": "Lovelace"}
    return {**blank, **known, "SystemModstamp": STAMP, "LastModifiedDate": STAMP}


class Org:
    """Answers each query with the next of these pages."""

    def __init__(self, *pages: list[Any]) -> None:
        self.pages = list(pages)
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        if request.path.endswith("/token"):
            url = str(request.url.origin())
            return web.json_response({"access_token": "t", "instance_url": url, "id": url})
        self.asked.append(request.query["q"])
        page = self.pages.pop(0)
        return web.json_response({"records": page, "done": not self.pages})


async def connected(org: Org, sandbox: SalesforceSandbox) -> tuple[SalesforceIntegration, Any]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", org.answer)
    server = TestServer(app)
    await server.start_server()
    settings = settings_for(sandbox, domain=str(server.make_url("")).rstrip("/"))
    return SalesforceIntegration(Connection("salesforce", settings)), server


@pytest.mark.parametrize("unreadable", UNREADABLE.values(), ids=UNREADABLE)
async def test_the_feed_continues_behind_the_last_row_with_a_place(
    sandbox: SalesforceSandbox, unreadable: Any
) -> None:
    org = Org([row(FIRST), unreadable], [unreadable, row(SECOND)])
    salesforce, server = await connected(org, sandbox)
    first = await salesforce.changes(None)
    second = await salesforce.changes(first.checkpoint)
    assert (first.more, first.lost, second.more, second.lost) == (True, False, False, False)
    assert (len(first.events), len(second.events)) == (2, 2)
    assert first.events[1].id == second.events[0].id
    assert f"Id > '{FIRST}'" in org.asked[1]
    await salesforce.close()
    await server.close()


async def test_a_page_without_any_place_is_a_loss(sandbox: SalesforceSandbox) -> None:
    salesforce, server = await connected(Org([{}], []), sandbox)
    changes = await salesforce.changes(None)
    assert (len(changes.events), changes.more, changes.lost) == (1, False, True)
    await salesforce.close()
    await server.close()


@pytest.mark.parametrize("unreadable", [None, {}, {"Id": "x"}], ids=str)
async def test_an_unreadable_row_stops_no_page_of_the_list(
    sandbox: SalesforceSandbox, unreadable: Any
) -> None:
    salesforce, server = await connected(Org([row(FIRST), unreadable], []), sandbox)
    page = await salesforce.list_page("customer", None)
    assert [each.external_id for each in page.objects] == [FIRST, ""]
    assert page.next_cursor == FIRST
    await salesforce.close()
    await server.close()
