"""Read an HTTP request as its sender has signed it: bytes, URL, query, address, certificate."""

import time
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs

from aiohttp import hdrs, web

from zenskar.api.http import bodies
from zenskar.api.http.clients import Clients
from zenskar.model.integration import NO_QUERY, WebhookRequest
from zenskar.settings import Settings


class WebhookRequestReader:
    """Reads webhooks.

    The URL begins with the public address of the settings. Without that setting it begins with
    `http://` and the `Host` of the request.
    """

    def __init__(self, settings: Settings) -> None:
        self._public_url = settings.public_url
        self._clients = Clients(settings.trusted_proxies, settings.client_certificate_header)

    async def read(self, request: web.Request, token: str | None = None) -> WebhookRequest:
        """Return a webhook with its whole body.

        Raises 413, 415, and `InvalidInput` for a body or a query that cannot be read.
        """
        headers, target = self._clients.headers(request), _target(request)
        return WebhookRequest(
            headers,
            await bodies.read_signed(request),
            time.time(),
            request.method,
            (self._public_url or f"http://{headers.get(hdrs.HOST, '')}") + target,
            _query(target) if "?" in target else NO_QUERY,
            self._clients.address(request),
            self._clients.certificate(headers),
            token,
        )


def _target(request: web.BaseRequest) -> str:
    """Return the path and the query as they were sent; a proxy may send a whole URL."""
    raw = request.raw_path
    return raw if raw.startswith("/") else request.path_qs


def _query(target: str) -> Mapping[str, Sequence[str]]:
    return parse_qs(target.partition("?")[2], keep_blank_values=True)
