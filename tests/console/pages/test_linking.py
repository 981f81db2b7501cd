"""The link of an object with a record."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.console import OpenConsole, open_console
from tests.support.drift import lose_what_waits
from tests.support.flow import running_worker
from zenskar.ids import new_id
from zenskar.model.scope import Scope

LINK = "/connections/fake/link"
BY_EMAIL = {"FAKE_MATCH_BY": "email"}
ADA = "ada@example.com"


@pytest_asyncio.fixture
async def console(database_url: str) -> AsyncIterator[OpenConsole]:
    async with open_console(database_url, environment=BY_EMAIL) as opened:
        yield opened


async def undecided(console: OpenConsole) -> list[str]:
    """Make two records that one object matches, and return their ids."""
    flow, found = console.flow, []
    for name in ("One", "Two"):
        found.append(await flow.create(name=name, email=ADA))
        await lose_what_waits(flow)
    flow.systems["fake"].create(name="There", email=ADA)
    async with running_worker(flow.runtime):
        await flow.deliver()
    return found


async def test_a_doubtful_object_is_linked_from_its_dead_letter(console: OpenConsole) -> None:
    _, chosen = await undecided(console)
    flow = console.flow
    letter = str(await flow.scalar("SELECT id FROM sync_events WHERE reason = 'ambiguous_match'"))
    async with console.browser(Scope.ADMIN) as browser:
        event = await browser.page(f"/events/{letter}")
        assert "/console/connections/fake/link?entity=customer&amp;external_id=obj_0" in event
        asked = await browser.page(f"{LINK}?entity=customer&external_id=obj_0&event={letter}")
        assert 'method="get"' in asked
        assert 'name="external_id" value="obj_0"' in asked
        assert chosen in asked
        assert 'name="reason"' not in asked
        address = f"{LINK}?entity=customer&external_id=obj_0&record_id={chosen}"
        preview = await browser.page(address)
        assert "<dt>Dead letters that end</dt><dd><bdi>1</bdi></dd>" in preview
        assert "<dt>Fields that differ</dt><dd><bdi>1</bdi></dd>" in preview
        assert "/name: both have a value, and the one of the record wins" in preview
        assert await flow.scalar("SELECT count(*) FROM external_mappings") == 0
        assert "look again" in await browser.act(address, status=409, effect="inside")
        async with running_worker(flow.runtime):
            after = await browser.act(address, "INC-9")
        assert "obj_0 is linked. Dead letters that ended: 1." in after
        audit = await browser.page("/audit?action=link")
        assert "INC-9" in audit
        assert chosen in audit
    assert (await flow.mapping(chosen))["external_id"] == "obj_0"


async def test_an_empty_record_creates_one(console: OpenConsole) -> None:
    flow, system = console.flow, console.flow.systems["fake"]
    external_id = system.create(name="Grace", email="grace@example.com")
    system.webhooks.clear()
    async with console.browser(Scope.ADMIN) as browser, running_worker(flow.runtime):
        address = f"{LINK}?external_id={external_id}&record_id="
        assert "<dt>Record</dt><dd><bdi>a new one</bdi></dd>" in await browser.page(address)
        await browser.act(address)
    assert await flow.scalar("SELECT name FROM customers") == "Grace"


async def test_a_choice_that_cannot_be_linked_is_asked_again(console: OpenConsole) -> None:
    console.flow.systems["fake"].create(name="Grace")
    async with console.browser(Scope.ADMIN) as browser:
        for query, problem in (
            ("external_id=&record_id=", "The id of the object is needed."),
            ("external_id=obj_0&record_id=7", "The id of the record must be a uuid."),
            ("external_id=obj_7&record_id=", "Fake shows no object with the id obj_7"),
            (f"external_id=obj_0&record_id={new_id()}", "There is no customer with the id"),
            ("external_id=obj_0&entity=invoice&record_id=", "Must be one of the choices."),
        ):
            asked = await browser.page(f"{LINK}?{query}")
            assert problem.lower() in asked.lower()
            assert 'method="get"' in asked
        assert await console.flow.scalar("SELECT count(*) FROM operator_actions") == 0


async def test_other_scopes_and_other_connections_are_refused(console: OpenConsole) -> None:
    async with console.browser(Scope.WRITE) as browser:
        await browser.page(LINK, 403)
    async with console.browser(Scope.ADMIN) as browser:
        await browser.page("/connections/nothing/link", 404)
        assert "/console/connections/fake/link" in await browser.page("/connections/fake")
