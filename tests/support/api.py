"""The HTTP API on a whole runtime with fake external systems."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientResponse, ClientSession, web
from aiohttp.typedefs import Handler

from tests.support.flow import Flow, open_flow
from zenskar.api.app import application, create_app
from zenskar.api.http.middlewares import Guards, middlewares
from zenskar.api.http.routes import Route
from zenskar.api.server import serve
from zenskar.api.services import ApiServices
from zenskar.telemetry.metrics import Metrics

ADA = {"name": "Ada", "email": "ada@example.com"}
UNKNOWN_ID = "0198f7a4-0000-7000-8000-000000000000"


@dataclass
class Api:
    """A client of an API, and the flow behind the API."""

    client: ClientSession
    services: ApiServices
    flow: Flow

    async def create(self, **document: Any) -> dict[str, Any]:
        """Create a customer over HTTP."""
        response = await self.client.post("/customers", json={**ADA, **document})
        return await body_of(response, 201)

    async def webhook(
        self, body: Any, source: str = "fake", signature: str = "good"
    ) -> ClientResponse:
        """Send a webhook."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"X-Signature": signature, "Content-Type": "application/json"}
        return await self.client.post(f"/webhooks/{source}", data=data, headers=headers)


@asynccontextmanager
async def open_api(
    database_url: str, *sources: str, working: bool = False, **settings: Any
) -> AsyncIterator[Api]:
    """Open the API without authentication unless the settings say otherwise."""
    chosen = {"auth": "off"} | settings
    async with open_flow(database_url, *sources, working=working, **chosen) as flow:
        services = flow.runtime.services()
        served = serve(create_app(services), "127.0.0.1", 0, services.settings)
        async with served as address, ClientSession(address) as client:
            yield Api(client, services, flow)


def app_of(path: str, handler: Handler, *, timeout_seconds: float = 60) -> web.Application:
    """Return an application of one route."""
    routes = [Route("GET", path, handler, "", {}, public=True)]
    chain = middlewares(routes, Metrics(), timeout_seconds, Guards())
    return application(routes, chain, 1024)


async def body_of(response: ClientResponse, status: int) -> dict[str, Any]:
    """Return a JSON body after a check of the status."""
    text = await response.text()
    assert response.status == status, text
    found: dict[str, Any] = json.loads(text)
    return found


async def problem_of(response: ClientResponse, status: int) -> dict[str, Any]:
    """Return a problem after a check of its form."""
    problem = await body_of(response, status)
    assert response.content_type == "application/problem+json"
    assert {"type", "title", "status", "detail"} <= problem.keys()
    assert problem["status"] == status
    return problem


def event(name: str = "evt_1", kind: str = "customer.created", **values: Any) -> dict[str, Any]:
    """Return the body of a webhook of the fake system."""
    seen = {"id": "obj_1", "name": "Ada", "email": "ada@example.com", **values}
    return {"id": name, "type": kind, "at": int(time.time()), "key": None, "object": seen}
