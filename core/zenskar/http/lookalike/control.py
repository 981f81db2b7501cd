"""The JSON control surface of a look-alike, under `/_sandbox/`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from zenskar.http.lookalike.bad_input import BadInput
from zenskar.http.lookalike.endpoints import is_web
from zenskar.http.lookalike.fault_input import read_fault
from zenskar.http.lookalike.guard import leads_here, refusal

if TYPE_CHECKING:
    from zenskar.http.lookalike.call_log import LoggedCall, LoggedDelivery
    from zenskar.http.lookalike.running import Running

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Edit = Callable[[str, dict[str, Any]], Any]
"""An edit of a person: takes the id in the path and the JSON body, and returns JSON."""
_ENDPOINT = frozenset({"url", "secret", "events"})
_MOST_SHIFTED = 10 * 365 * 86_400


class EditRefused(Exception):
    """An edit that the look-alike refuses, with a status and a JSON body."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class Control:
    """Handlers of requests that control a look-alike.

    `clear` removes the data; `edits` are the edits of a person with method and path.
    """

    def __init__(
        self,
        running: Running,
        clear: Callable[[], Awaitable[None]],
        edits: Iterable[tuple[str, str, Edit]] = (),
        *,
        remote_webhooks: bool = False,
    ) -> None:
        self._running = running
        self._clear = clear
        self._edits = edits
        self._remote_webhooks = remote_webhooks

    def routes(self) -> list[web.RouteDef]:
        """Return the routes, each protected by the guard."""
        table: list[tuple[str, str, Handler]] = [
            *((method, path, _handler(edit)) for method, path, edit in self._edits),
            ("POST", "webhook_endpoints", self.add_endpoint),
            ("GET", "webhook_endpoints", self.endpoints),
            ("DELETE", "webhook_endpoints", self.remove_endpoints),
            ("DELETE", "webhook_endpoints/{id}", self.remove_endpoint),
            ("POST", "faults", self.add_fault),
            ("GET", "faults", self.faults),
            ("DELETE", "faults", self.clear_faults),
            ("DELETE", "faults/{id}", self.remove_fault),
            ("GET", "requests", self.requests),
            ("GET", "deliveries", self.deliveries),
            ("POST", "clock", self.shift_clock),
            ("POST", "settle", self.settle),
            ("DELETE", "data", self.clear_data),
            ("*", "{tail:.*}", self.unknown),
        ]
        return [
            web.route(method, f"/_sandbox/{path}", guarded(handler))
            for method, path, handler in table
        ]

    async def add_endpoint(self, request: web.Request) -> web.Response:
        """Add a webhook endpoint, or update the endpoint with this URL.

        Raises `BadInput` for a body that is not valid, or a URL of another machine.
        """
        body = await _body(request)
        if unknown := sorted(body.keys() - _ENDPOINT):
            raise BadInput(f"unknown members: {', '.join(unknown)}")
        url, secret, events = body.get("url"), body.get("secret"), body.get("events")
        if not isinstance(url, str) or not isinstance(secret, str):
            raise BadInput("url and secret must be strings")
        if not self._remote_webhooks and is_web(url) and not leads_here(url):
            raise BadInput("url must lead to this machine, unless --remote-webhooks allows others")
        endpoint = self._running.endpoints.add(url, secret, _types(events))
        return _json(endpoint.shown(), 201)

    async def endpoints(self, _: web.Request) -> web.Response:
        """Return the endpoints without their secrets."""
        return _data(endpoint.shown() for endpoint in self._running.endpoints)

    async def remove_endpoints(self, _: web.Request) -> web.Response:
        """Remove every endpoint and its pending deliveries."""
        for endpoint in list(self._running.endpoints):
            self._running.remove_endpoint(endpoint.id)
        return _json({"deleted": True})

    async def remove_endpoint(self, request: web.Request) -> web.Response:
        """Remove an endpoint and its pending deliveries."""
        return _deleted(self._running.remove_endpoint(request.match_info["id"]))

    async def add_fault(self, request: web.Request) -> web.Response:
        """Inject a fault."""
        fault = read_fault(await _body(request))
        return _json({"id": self._running.faults.add(fault), **fault.shown()}, 201)

    async def faults(self, _: web.Request) -> web.Response:
        """Return the injected faults with the number of their hits."""
        return _data(self._running.faults.shown())

    async def clear_faults(self, _: web.Request) -> web.Response:
        """End every injection."""
        self._running.faults.clear()
        return _json({"deleted": True})

    async def remove_fault(self, request: web.Request) -> web.Response:
        """End an injection."""
        return _deleted(self._running.faults.remove(request.match_info["id"]))

    async def requests(self, _: web.Request) -> web.Response:
        """Return the log of API calls, oldest first."""
        return _data(map(_entry, self._running.requests))

    async def deliveries(self, _: web.Request) -> web.Response:
        """Return the log of webhook attempts, oldest first."""
        return _data(map(_entry, self._running.deliveries.log))

    async def shift_clock(self, request: web.Request) -> web.Response:
        """Set the clock's offset; 0 corrects the clock.

        Raises `BadInput` for an offset that is no number, or too large.
        """
        seconds = (await _body(request)).get("shift_seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise BadInput("shift_seconds must be a number")
        if not abs(seconds) <= _MOST_SHIFTED:
            raise BadInput(f"shift_seconds must be within {_MOST_SHIFTED} seconds")
        self._running.clock.shift = seconds
        return _json({"shift_seconds": seconds})

    async def settle(self, request: web.Request) -> web.Response:
        """Wait until nothing is pending; answer 504 after the timeout.

        Raises `BadInput` for a timeout that is no number, or negative.
        """
        timeout = (await _body(request)).get("timeout_seconds", 10.0)
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout < 0:
            raise BadInput("timeout_seconds must be a number that is not negative")
        try:
            await self._running.settle(timeout)
        except TimeoutError as error:
            return _problem(504, str(error))
        return _json({"settled": True})

    async def clear_data(self, _: web.Request) -> web.Response:
        """Remove objects, events, deliveries and logs."""
        await self._clear()
        return _json({"deleted": True})

    async def unknown(self, request: web.Request) -> web.Response:
        """Answer 404 for an unknown route."""
        return _problem(404, f"no such control: {request.method} {request.path}")


def _handler(edit: Edit) -> Handler:
    """Return a handler of an edit: 201 for a new object, 404 for an unknown id."""

    async def handle(request: web.Request) -> web.Response:
        identifier, values = request.match_info.get("id"), await _body(request)
        try:
            status = 201 if identifier is None and request.method == "POST" else 200
            return _json(edit(identifier or "", values), status)
        except EditRefused as refused:
            return _json(refused.body, refused.status)
        except KeyError:
            return _problem(404, "no such id")

    return handle


def guarded(handler: Handler) -> Handler:
    """Return a handler that refuses remote requests and answers bad input as JSON."""

    async def guard(request: web.Request) -> web.StreamResponse:
        if refused := refusal(request):
            return _problem(*refused)
        try:
            return await handler(request)
        except BadInput as error:
            return _problem(400, str(error))

    return guard


async def _body(request: web.Request) -> dict[str, Any]:
    text = await request.read()
    try:
        body = orjson.loads(text or b"{}")
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise BadInput(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadInput("the body must be a JSON object")
    return body


def _types(events: object) -> list[str] | None:
    if events is None:
        return None
    if not isinstance(events, list) or not all(isinstance(each, str) for each in events):
        raise BadInput("events must be an array of event types")
    return events


def _entry(entry: LoggedCall | LoggedDelivery) -> dict[str, Any]:
    return asdict(entry)


def _data(items: Iterable[Any]) -> web.Response:
    return _json({"data": list(items)})


def _deleted(found: bool) -> web.Response:
    return _json({"deleted": True}) if found else _problem(404, "no such id")


def _problem(status: int, message: str) -> web.Response:
    return _json({"error": {"message": message}}, status)


def _json(value: object, status: int = 200) -> web.Response:
    body = orjson.dumps(value)
    return web.Response(body=body, status=status, content_type="application/json")
