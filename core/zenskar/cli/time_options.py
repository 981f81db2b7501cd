"""The options `--since` and `--until` of lists."""

import re
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Annotated

import typer

from zenskar.errors import InvalidInput
from zenskar.model.moment import parse_moment

_UNITS = MappingProxyType({"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800})
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only since this time, such as 2030-01-31T12:00 or 2h ago."),
]
Until = Annotated[
    str | None, typer.Option(metavar="TIME", help="Only before this time, in the same form.")
]


def moment_of(text: str | None) -> datetime | None:
    """Return a time in UTC, or that long ago for a duration. Raises `InvalidInput`."""
    if text is None:
        return None
    try:
        ago = seconds_of(text.removesuffix("ago").strip())
    except InvalidInput:
        return parse_moment(text)
    return datetime.now(UTC) - timedelta(seconds=ago)


def seconds_of(text: str) -> float:
    """Return the seconds of a duration such as `15m`. Raises `InvalidInput`."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)([smhdw]?)", text, re.ASCII)
    if match is None:
        raise InvalidInput(f"{text!r} is not a duration: use 90s, 15m, 2h, 3d or 1w")
    return float(match[1]) * _UNITS[match[2]]
