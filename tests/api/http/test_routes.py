"""Which route a request takes."""

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import make_mocked_request

from tests.api.test_server import address_of, talk
from tests.support.api import Api, app_of
from zenskar.api.http.routes import Route, register, template_of
from zenskar.api.server import serve
from zenskar.settings import load


async def answer(_request: web.Request) -> web.Response:
    return web.Response()


ROUTES = [
    Route(method, path, answer, "", {})
    for method, path in (
        ("GET", "/things"),
        ("POST", "/things"),
        ("GET", "/things/{id}"),
        ("DELETE", "/things/{id}"),
        ("POST", "/things/{id}"),
        ("POST", "/things/{id}/parts/{part}"),
        ("POST", "/things/all"),
        ("GET", "/plain.json"),
    )
]


@pytest.mark.parametrize(
    ("method", "path", "template", "values"),
    [
        ("GET", "/things", "/things", {}),
        ("HEAD", "/things", "/things", {}),
        ("GET", "/things?a=/b", "/things", {}),
        ("GET", "/things/1", "/things/{id}", {"id": "1"}),
        ("GET", "/things/a%20b%2Fc", "/things/{id}", {"id": "a b/c"}),
        ("POST", "/things/all", "/things/all", {}),
        ("DELETE", "/things/all", "unmatched", {}),
        ("POST", "/things/1/parts/2", "/things/{id}/parts/{part}", {"id": "1", "part": "2"}),
        ("GET", "/plain.json", "/plain.json", {}),
        ("GET", "/plainXjson", "unmatched", {}),
        ("GET", "/things/", "unmatched", {}),
        ("GET", "/things/1/", "unmatched", {}),
        ("GET", "/things%2F1", "unmatched", {}),
        ("GET", "//things", "unmatched", {}),
        ("GET", "/", "unmatched", {}),
        ("OPTIONS", "*", "unmatched", {}),
        ("HEAD", "/things/1/parts/2", "unmatched", {"id": "1", "part": "2"}),
    ],
)
async def test_the_whole_path_decides(
    method: str, path: str, template: str, values: dict[str, str]
) -> None:
    app = web.Application()
    register(app, ROUTES)
    request = make_mocked_request(method, path, app=app)
    match = await app.router.resolve(request)
    match.add_app(app)
    request._match_info = match
    assert (template_of(request), dict(request.match_info)) == (template, values)


async def test_another_method_is_told_which_there_are(api: Api) -> None:
    for path, allowed in (
        ("/webhooks/fake", "POST"),
        ("/customers/x", "DELETE,GET,HEAD,PATCH,PUT"),
        ("/sync-events/retry", "POST"),
        ("/dead-letters/retry", "POST"),
        ("/dead-letters/discard", "POST"),
        ("/sync-events/x/retry", "POST"),
    ):
        refused = await api.client.request("OPTIONS", path)
        assert (refused.status, refused.headers["Allow"]) == (405, allowed)


async def test_who_waits_to_be_told_so_is_told_to_go_on(api: Api) -> None:
    head = b"POST /customers HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n"
    answered = await talk(address_of(api), head + b"Expect: 100-continue\r\n\r\n{}")
    assert answered.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 415 ")


async def test_other_expectations_are_refused(api: Api) -> None:
    refused = await api.client.get("/customers", headers={"Expect": "cake"})
    assert refused.status == 417
    assert refused.content_type == "application/problem+json"


async def test_head_has_the_headers_of_get_and_no_body() -> None:
    async def text(_request: web.Request) -> web.Response:
        return web.Response(text="four")

    async with (
        serve(app_of("/", text), "127.0.0.1", 0, load({})) as address,
        ClientSession(address) as client,
    ):
        response = await client.head("/")
        assert (response.status, response.headers["Content-Length"]) == (200, "4")
        assert await response.read() == b""
