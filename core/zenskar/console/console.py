"""Serve the console: its pages, its actions, its login."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

from aiohttp import web

from zenskar.api.http import bodies, problems
from zenskar.api.http.auth import KeyRing, LoginThrottle
from zenskar.api.http.clients import Clients
from zenskar.api.http.routes import JsonSchema, Route
from zenskar.api.services import ApiServices
from zenskar.console.operators import Doorkeeper, Login, OpenDoor, is_own
from zenskar.console.page import (
    READ_SECONDS,
    ROOT,
    Action,
    ConsolePage,
    Done,
    Operator,
    Preview,
    ShownOnce,
    Visit,
    within,
)
from zenskar.console.renderer import Renderer
from zenskar.console.site_map import ACTIONS, PAGES
from zenskar.console.static_files import PATH as STATIC_PATH
from zenskar.console.static_files import StaticFiles
from zenskar.db.driver.engine import ping
from zenskar.errors import ZenskarError
from zenskar.model.scope import Scope

LOGIN, LOGOUT = f"{ROOT}/login", f"{ROOT}/logout"
_NOTICE = "zenskar_console_notice"
"""The cookie with the result of an action, for the page that follows."""
_LONGEST_NOTICE = 300
_RUN_SHARE = 0.8
"""The share of a request's time for an action: the rest is for the login and the page."""
_HTMX = json.dumps(
    {
        "allowEval": False,
        "historyEnabled": False,
        "includeIndicatorStyles": False,
        "selfRequestsOnly": True,
        "timeout": 20_000,
    }
)
Answer = Callable[[Visit], Awaitable[web.Response]]


class Console:
    """Serves the pages and the actions of the site map, to operators who have logged in."""

    def __init__(
        self,
        services: ApiServices,
        pages: Sequence[ConsolePage] = PAGES,
        actions: Sequence[Action] = ACTIONS,
        *,
        keys: KeyRing | None = None,
    ) -> None:
        self._services = services
        self._pages, self._actions = pages, actions
        self._files = StaticFiles()
        self._door = doorkeeper(services, keys)
        self._run_seconds = services.settings.request_timeout_seconds * _RUN_SHARE
        # The other connections of the pool are for the API.
        self._room = asyncio.Semaphore(max(1, services.settings.database_pool_size // 2))
        self._renderer = Renderer(
            {
                "menu": [page for page in pages if page.menu],
                "root": ROOT,
                "static": self._files.address,
                "htmx": _HTMX,
                "asks": self._door.asks,
            }
        )

    def routes(self) -> tuple[Route, ...]:
        """Return the routes. They are public for the API: the console has a login of its own."""
        pages = (
            self._route("GET", page.path, self._page(page), page.scope, page.seconds)
            for page in self._pages
        )
        actions = (
            route
            for each in self._actions
            for route in (
                self._route("GET", each.path, self._preview(each), each.scope, each.seconds),
                self._route("POST", each.path, self._run(each), each.scope, self._run_seconds),
            )
        )
        return (
            _route("GET", LOGIN, self._show_login),
            _route("POST", LOGIN, self._log_in),
            self._route(
                "POST", LOGOUT.removeprefix(ROOT), self._log_out, Scope.READ, self._run_seconds
            ),
            _route("GET", f"{ROOT}/", self._lead_to_overview),
            _route("GET", STATIC_PATH + "/{name:.+}", self._files.show),
            self._route("GET", "/{rest:.*}", self._nothing, Scope.READ, READ_SECONDS),
            *pages,
            *actions,
        )

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """No schemas: OpenAPI does not describe the console."""
        return {}

    def _route(self, method: str, path: str, answer: Answer, scope: Scope, seconds: float) -> Route:
        """Return the route of an answer that only operators get, within a time limit.

        An action does not begin unless the database answers, so its failure says whether it began.
        """
        writes = method == "POST"

        async def handle(request: web.Request) -> web.StreamResponse:
            operator, begun = None, False
            try:
                async with within(READ_SECONDS):
                    operator = await self._door.recognize(request)
                if operator is None:
                    return self._stranger(request)
                form = await bodies.read_form(request) if writes else {}
                _check(operator, scope, form if writes else None)
                visit = Visit(request, operator, self._services, form)
                if not writes:
                    async with within(seconds), self._room:
                        return await answer(visit)
                async with within(READ_SECONDS):
                    await ping(self._services.engine)
                begun = True
                async with within(seconds):
                    return await answer(visit)
            except web.HTTPRedirection:
                raise
            except Exception as error:  # noqa: BLE001 - a page for people in place of JSON
                return self._failed(request, operator, error, begun=begun)

        return _route(method, ROOT + path, handle)

    def _page(self, page: ConsolePage) -> Answer:
        async def show(visit: Visit) -> web.Response:
            data = {"live": page.live, **await page.read(visit)}
            section = page.section or page.path
            response = self._render(visit.request, visit.operator, page.template, data, section)
            if _NOTICE in visit.request.cookies:
                response.del_cookie(_NOTICE, path=ROOT)
            return response

        return show

    def _preview(self, action: Action) -> Answer:
        async def show(visit: Visit) -> web.Response:
            preview = await action.preview(visit)
            return self._dialog(visit, action, preview, preview.problem)

        return show

    def _run(self, action: Action) -> Answer:
        async def run(visit: Visit) -> web.Response:
            try:
                done = await action.run(visit)
            except ZenskarError as error:
                problem = problems.problem_of(error)
                preview = await action.preview(visit)
                return self._dialog(visit, action, preview, problem.detail, problem.status)
            return self._finished(visit, action, done)

        return run

    def _dialog(
        self, visit: Visit, action: Action, preview: Preview, error: str = "", status: int = 200
    ) -> web.Response:
        data = {"preview": preview, "error": error, "given": visit.form}
        return self._render(
            visit.request, visit.operator, "dialogs/action.html", data, action.section, status
        )

    def _finished(self, visit: Visit, action: Action, done: Done | ShownOnce) -> web.Response:
        if isinstance(done, ShownOnce):
            return self._render(
                visit.request, visit.operator, done.template, done.data, action.section
            )
        if done.secret:
            return self._render(
                visit.request, visit.operator, "dialogs/secret.html", {"done": done}, action.section
            )
        response = web.Response(status=303, headers={"Location": done.address})
        response.set_cookie(
            _NOTICE,
            _cookie_text(done.text),
            path=ROOT,
            max_age=60,
            httponly=True,
            samesite="Strict",
        )
        return response

    async def _show_login(self, request: web.Request) -> web.StreamResponse:
        if not self._door.asks:
            return web.Response(status=303, headers={"Location": ROOT})
        data = {"error": "", "next": _next(request), "unsent": "unsent" in request.query}
        return self._renderer.page("login.html", data)

    async def _log_in(self, request: web.Request) -> web.StreamResponse:
        response = web.Response(status=303, headers={"Location": _next(request)})
        try:
            form = await bodies.read_form(request)
            await self._door.admit(request, form.get("key", ""), response)
        except (web.HTTPException, ZenskarError) as error:
            problem = problems.problem_of(error)
            data = {"error": problem.detail, "next": _next(request), "unsent": False}
            failed = self._renderer.page("login.html", data, problem.status)
            failed.headers.update(problem.headers)
            return failed
        return response

    async def _log_out(self, visit: Visit) -> web.Response:
        response = web.Response(status=303, headers={"Location": LOGIN})
        await self._door.dismiss(visit.request, response)
        return response

    async def _lead_to_overview(self, _request: web.Request) -> web.Response:
        return web.Response(status=303, headers={"Location": ROOT})

    async def _nothing(self, _visit: Visit) -> web.Response:
        raise web.HTTPNotFound

    def _stranger(self, request: web.Request) -> web.Response:
        if "HX-Request" in request.headers:
            # The browser loads the whole page again, which leads to the login.
            return web.Response(status=401, headers={"HX-Refresh": "true"})
        if request.method == "GET" and request.headers.get("Sec-Fetch-Site") == "cross-site":
            # A browser sends no strict cookie with a link from another site, but with a reload.
            return self._renderer.page("reload.html", {})
        if request.method != "GET" and request.path != LOGOUT:
            # The address of an action shows its preview: the operator confirms it again.
            here = quote(request.raw_path)
            return web.Response(status=303, headers={"Location": f"{LOGIN}?next={here}&unsent=1"})
        here = quote(request.raw_path if request.method == "GET" else ROOT)
        return web.Response(status=303, headers={"Location": f"{LOGIN}?next={here}"})

    def _failed(
        self, request: web.Request, operator: Operator | None, error: Exception, *, begun: bool
    ) -> web.Response:
        problem = problems.problem_of(error)
        data = {
            "problem": problem,
            "operator": operator,
            "reads": request.method == "GET",
            "begun": begun,
        }
        if operator is None:
            return self._renderer.page("trouble.html", {**data, **_EMPTY}, problem.status)
        return self._render(request, operator, "trouble.html", data, _NO_SECTION, problem.status)

    def _render(
        self,
        request: web.Request,
        operator: Operator,
        template: str,
        data: Mapping[str, Any],
        section: str,
        status: int = 200,
    ) -> web.Response:
        common = {
            **_EMPTY,
            "operator": operator,
            "section": section,
            "here": request.raw_path,
            "notice": unquote(request.cookies.get(_NOTICE, "")),
        }
        return self._renderer.page(template, {**common, **data}, status)


_NO_SECTION = "none"
_EMPTY = {"section": _NO_SECTION, "here": ROOT, "notice": "", "live": False}


def doorkeeper(services: ApiServices, keys: KeyRing | None = None) -> Doorkeeper:
    """Return the doorkeeper that the settings ask for."""
    if services.settings.auth == "off":
        return OpenDoor()
    keys = keys or KeyRing(services.engine, LoginThrottle())
    return Login(services.engine, keys, Clients(services.settings.trusted_proxies))


def _check(operator: Operator, scope: Scope, form: Mapping[str, str] | None) -> None:
    """Raise 403 without the scope, or for a form of another session."""
    if not operator.may(scope):
        raise web.HTTPForbidden(
            text=f"this needs a key of the scope {scope}; yours has {operator.scope}"
        )
    if form is not None and not is_own(operator, form.get("token", "")):
        raise web.HTTPForbidden(text="this form is older than your session: load the page again")


def _route(method: str, path: str, handler: Any) -> Route:
    return Route(method, path, handler, "", {}, public=True)


def _cookie_text(text: str) -> str:
    """Return a text for a cookie. A browser drops a cookie of more than 4,096 bytes."""
    return quote(text[:_LONGEST_NOTICE], errors="replace")


def _next(request: web.Request) -> str:
    """Return the page of the console to show after the login."""
    wanted = request.query.get("next", "")
    inside = wanted == ROOT or wanted.startswith((f"{ROOT}/", f"{ROOT}?"))
    return wanted if inside and wanted.isprintable() and "\\" not in wanted else ROOT
