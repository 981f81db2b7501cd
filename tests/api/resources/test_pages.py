"""`/docs`."""

import importlib.resources
import re

import pytest

from tests.support.api import Api
from zenskar.api.resources.pages import content_security_policy

PATHS = {"docs.html": "/docs"}


def test_every_page_is_known_here() -> None:
    """A page that is missing in `PATHS` is not checked below."""
    html = importlib.resources.files("zenskar.api").joinpath("html")
    assert {page.name for page in html.iterdir()} == PATHS.keys()


@pytest.mark.parametrize("path", PATHS.values())
async def test_pages_need_nothing_from_other_hosts(api: Api, path: str) -> None:
    response = await api.client.get(path)
    html = await response.text()
    assert (response.status, response.content_type) == (200, "text/html")
    assert not re.findall(r"(?:https?:)?//[a-z]", html)
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert policy == content_security_policy(html)
    assert "unsafe" not in policy


async def test_the_description_is_put_in_as_text(api: Api) -> None:
    html = await (await api.client.get("/docs")).text()
    assert "innerHTML" not in html
    assert "/openapi.json" in html
