"""Serve the styles and scripts of the console from memory; their address changes with them."""

import hashlib
import importlib.resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from aiohttp import web

from zenskar.console.page import ROOT

PATH = f"{ROOT}/static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_YEAR = "private, max-age=31536000, immutable"


class StaticFiles:
    """The files below `console/static` that a browser loads, by their path."""

    def __init__(self) -> None:
        folder = importlib.resources.files("zenskar.console") / "static"
        self._files = dict(_read(folder, ""))

    def address(self, name: str) -> str:
        """Return the address of a file with a hash of its content."""
        return f"{PATH}/{name}?v={hashlib.sha256(self._files[name]).hexdigest()[:12]}"

    async def show(self, request: web.Request) -> web.Response:
        """Return a file. Raises 404 for any other path."""
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound
        response = web.Response(
            body=self._files[name],
            content_type=_TYPES[PurePosixPath(name).suffix],
            charset="utf-8",
            headers={"Cache-Control": _YEAR},
        )
        response.enable_compression()
        return response


def _read(folder: Traversable, path: str) -> "list[tuple[str, bytes]]":
    found = []
    for each in folder.iterdir():
        if each.is_dir():
            found += _read(each, f"{path}{each.name}/")
        elif PurePosixPath(each.name).suffix in _TYPES:
            found.append((path + each.name, each.read_bytes()))
    return found
