"""The API is aiohttp's application: others' middlewares, signals and routes work on it."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from aiohttp.typedefs import Handler

from tests.api.http.test_auth import bearer, with_scope
from tests.api.test_server import address_of, talk
from tests.support.api import Api, open_api, problem_of
from zenskar.api.app import create_app
from zenskar.api.server import serve
from zenskar.ids import is_id
from zenskar.model.scope import Scope


async def test_a_middleware_from_elsewhere_sees_the_route_and_every_answer(api: Api) -> None:
    seen = []

    @web.middleware
    async def trace(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        resource = request.match_info.route.resource
        seen.append((resource.canonical if resource else None, response.status))
        return response

    app = create_app(api.services)
    app.middlewares.insert(0, trace)
    served = serve(app, "127.0.0.1", 0, api.services.settings)
    async with served as address, ClientSession(address) as client:
        for path in ("/customers/x", "/health/live", "/nowhere"):
            await client.get(path)
        await client.delete("/customers")
    assert seen == [
        ("/customers/{id}", 404),
        ("/health/live", 200),
        (None, 404),
        ("/customers", 405),
    ]


async def test_what_is_started_with_the_application_ends_with_it(api: Api) -> None:
    steps = []

    async def session(_app: web.Application) -> AsyncIterator[None]:
        steps.append("started")
        yield
        steps.append("ended")

    app = create_app(api.services)
    app.cleanup_ctx.append(session)
    async with serve(app, "127.0.0.1", 0, api.services.settings):
        assert steps == ["started"]
    assert steps == ["started", "ended"]


async def test_a_route_from_elsewhere_needs_the_key_of_an_admin(database_url: str) -> None:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="page")

    async with open_api(database_url, auth="required") as api:
        app = create_app(api.services)
        app.router.add_get("/page", page)
        keys = {scope: bearer(await with_scope(api, scope)) for scope in Scope}
        served = serve(app, "127.0.0.1", 0, api.services.settings)
        async with served as address, ClientSession(address) as client:
            await problem_of(await client.get("/page"), 401)
            for scope, headers in keys.items():
                answer = await client.get("/page", headers=headers)
                assert answer.status == (200 if scope is Scope.ADMIN else 403)
                assert is_id(answer.headers["X-Correlation-Id"])
                assert answer.headers["Cache-Control"] == "no-store"


async def test_a_redirect_is_passed_on(api: Api) -> None:
    async def move(_request: web.Request) -> web.Response:
        raise web.HTTPSeeOther("/docs")

    app = create_app(api.services)
    app.router.add_get("/moved", move)
    served = serve(app, "127.0.0.1", 0, api.services.settings)
    async with served as address, ClientSession(address) as client:
        answer = await client.get("/moved", allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, "/docs")


@pytest.mark.parametrize("path", [b"/nowhere", b"*"])
async def test_an_unknown_expectation_of_no_route_is_a_problem(api: Api, path: bytes) -> None:
    sent = b"OPTIONS " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: cake\r\n\r\n"
    answered = await talk(address_of(api), sent)
    assert answered.startswith(b"HTTP/1.1 417 ")
    assert b"application/problem+json" in answered
    assert b"X-Correlation-Id: " in answered
    assert b"cake" not in answered
