"""Serve `/docs`, a page that loads nothing from other hosts."""

import base64
import hashlib
import importlib.resources
import re
from collections.abc import Mapping

from aiohttp import web

from zenskar.api.http.routes import JsonSchema, ResponseDoc, Route

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


class StaticPage:
    """Serves one HTML file with inline scripts and styles."""

    def __init__(self, path: str, file: str, summary: str) -> None:
        self._path, self._summary = path, summary
        source = importlib.resources.files("zenskar.api").joinpath("html").joinpath(file)
        self._html = source.read_text(encoding="utf-8")
        self._headers = {"Content-Security-Policy": content_security_policy(self._html)}

    async def show(self, _request: web.Request) -> web.Response:
        """Return the page."""
        return web.Response(text=self._html, content_type="text/html", headers=self._headers)

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        page = ResponseDoc("A page.", media_type="text/html")
        return (Route("GET", self._path, self.show, self._summary, {200: page}, public=True),)

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """No schemas."""
        return {}


def content_security_policy(html: str) -> str:
    """Return a policy that allows the inline scripts and styles, and calls to the API."""
    hashes: dict[str, str] = {"script": "", "style": ""}
    for kind, text in _INLINE.findall(html):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        hashes[kind] += f" 'sha256-{digest}'"
    scripts, styles = (hashes[kind] or " 'none'" for kind in ("script", "style"))
    return (
        "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors 'none'; script-src{scripts}; style-src{styles}"
    )
