"""A document that is tried out at a connection."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.console import Browser, open_console
from zenskar.model.scope import Scope

PATH = "/connections/fake/test"
ADA = {"name": "Ada </pre><b>", "email": "ada@example.com"}


@pytest_asyncio.fixture
async def browser(database_url: str) -> AsyncIterator[Browser]:
    async with open_console(database_url) as console, console.browser(Scope.WRITE) as opened:
        yield opened


async def test_a_record_is_shown_both_ways(browser: Browser) -> None:
    assert "Reason" not in await browser.page(PATH)
    fields = {"kind": "record", "entity": "customer", "document": json.dumps(ADA)}
    page = await browser.act(PATH, **fields)
    assert "the body of a create" in page
    assert page.count("Ada &lt;/pre&gt;&lt;b&gt;") == 3
    assert "travels" in page


async def test_an_object_is_shown_as_the_record_that_it_becomes(browser: Browser) -> None:
    fields = {"kind": "object", "entity": "customer", "document": json.dumps({"id": "1", **ADA})}
    page = await browser.act(PATH, **fields)
    assert "the body of a create" not in page
    assert "ada@example.com" in page


@pytest.mark.parametrize(
    ("document", "status", "told"),
    [
        ("{", 400, "is not JSON"),
        ("[]", 400, "not a JSON object"),
        ('{"name": 1}', 422, "name"),
    ],
)
async def test_a_wrong_document_stays_in_the_form(
    browser: Browser, document: str, status: int, told: str
) -> None:
    fields = {"kind": "record", "entity": "customer", "document": document}
    page = await browser.act(PATH, status=status, **fields)
    assert told in page
    assert f">{document.replace(chr(34), '&#34;')}</textarea>" in page


async def test_an_unknown_connection_and_entity_are_refused(browser: Browser) -> None:
    await browser.page("/connections/other/test", 404)
    await browser.act(PATH, status=400, kind="record", entity="order", document="{}")
