"""Render the templates of the console."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# Control characters, bytes that were not UTF-8, and those that change the direction of the text.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
_UNITS = ((86_400 * 2, 86_400, "d"), (7_200, 3_600, "h"), (120, 60, "min"), (0, 1, "s"))


class Renderer:
    """Renders templates. Every text is escaped, and its control characters become visible."""

    def __init__(self, globals_: Mapping[str, Any]) -> None:
        self._templates = Environment(
            loader=PackageLoader("zenskar.console"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=visible,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(globals_)
        filters: dict[str, Callable[..., Any]] = {
            "ago": ago,
            "duration": duration,
            "moment": moment,
            "number": number,
            "utc": utc,
            "words": words,
        }
        self._templates.filters.update(filters)

    def page(self, template: str, data: Mapping[str, Any], status: int = 200) -> web.Response:
        """Return the response with a page."""
        html = self._templates.get_template(template).render(data)
        return web.Response(text=html, status=status, content_type="text/html", headers=_HEADERS)


def visible(value: Any) -> Any:
    """Return a text with each invisible character as its code point, any other value unchanged."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return _INVISIBLE.sub(lambda found: f"[U+{ord(found[0]):04X}]", value)


def utc(at: datetime) -> str:
    """Return a time for people, in UTC and to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def ago(at: datetime) -> str:
    """Return how long ago a time was, or how far ahead it is."""
    seconds = (datetime.now(UTC) - at).total_seconds()
    return f"in {duration(-seconds)}" if seconds < 0 else f"{duration(seconds)} ago"


def moment(seconds: float) -> datetime:
    """Return the time of a number of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def duration(seconds: float) -> str:
    """Return a number of seconds in the largest unit that fits."""
    for least, size, unit in _UNITS:
        if seconds >= least:
            return f"{int(seconds // size)} {unit}"
    return "0 s"


def number(value: float, exact: bool = True) -> str:
    """Return a number with separators of thousands, and a plus when there may be more."""
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
    return text if exact else f"{text}+"


def words(name: str | None) -> str:
    """Return a name of the code as words."""
    return (name or "").replace("_", " ")
