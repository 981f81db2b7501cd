"""The table of the hooks in docs/plugins.md, made from the docstrings of `BaseIntegration`.

`python -m tests.support.hook_table` writes it.
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from zenskar.plugins.base import HOOKS, BaseIntegration

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
HEAD = "| hook | is | does | called |\n| --- | --- | --- | --- |\n"
_TABLE = re.compile(rf"{re.escape(HEAD)}(?:\|.*\n)*")
_OPTIONAL = " Optional."
_CALLED = re.compile(r"Called (.+?)[.:](?= |$)")


def inserted(page: str) -> str:
    """Return the page with the present table. Raises `ValueError` for a page without the table."""
    if not _TABLE.search(page):
        raise ValueError("the page has no table of the hooks")
    return _TABLE.sub(lambda _: HEAD + "".join(_rows()), page, count=1)


def _rows() -> Iterator[str]:
    for hook in HOOKS:
        method = getattr(BaseIntegration, hook)
        summary, _, rest = (inspect.getdoc(method) or "").partition("\n\n")
        called = _CALLED.match(" ".join(rest.split()))
        if called is None:
            raise ValueError(f"the text of {hook} does not say when the hook is called")
        does = " ".join(summary.split())
        kind = "a coroutine" if inspect.iscoroutinefunction(method) else "a function"
        optional = ", optional" if does.endswith(_OPTIONAL) else ""
        cells = f"{kind}{optional}", does.removesuffix(_OPTIONAL), called.group(1)
        yield f"| `{hook}` | {' | '.join(cells)} |\n"


if __name__ == "__main__":
    PAGE.write_text(inserted(PAGE.read_text()))
