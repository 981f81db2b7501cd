"""Where an error came from, without what it says: its text may hold a secret or personal data."""

import traceback


def trace(error: BaseException) -> list[str]:
    """Return the chain of an error, types and places only, the first cause first."""
    lines: list[str] = []
    for link in reversed(_chain(error)):
        lines.append(type(link).__name__)
        frames = traceback.extract_tb(link.__traceback__)
        lines += [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
    return lines


def _chain(error: BaseException) -> list[BaseException]:
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.append(link)
        hidden = None if link.__suppress_context__ else link.__context__
        link = link.__cause__ or hidden
    return links
