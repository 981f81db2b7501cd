"""Traces of errors without their texts, which may hold a secret or personal data."""

import traceback
from pathlib import Path


def trace(error: BaseException) -> list[str]:
    """Return the types and places of an error and its causes, the first cause first."""
    lines: list[str] = []
    for link in reversed(_chain(error)):
        lines.append(type(link).__name__)
        frames = traceback.extract_tb(link.__traceback__)
        lines += [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
    return lines


def place(error: BaseException) -> str:
    """Return the type of an error, and the file and line that raised the error."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + where


def _chain(error: BaseException) -> list[BaseException]:
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.append(link)
        hidden = None if link.__suppress_context__ else link.__context__
        link = link.__cause__ or hidden
    return links
