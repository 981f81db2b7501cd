"""The check of every part, as `zenskar doctor` makes it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from zenskar.console.page import ConsolePage, Visit
from zenskar.model.scope import Scope
from zenskar.ops.checks.checkup import PART_SECONDS
from zenskar.ops.checks.finding import CheckResult

_PLACES = MappingProxyType(
    {
        "workers": "/system",
        "schema": "/system",
        "api keys": "/system",
        "paused": "/connections",
        "dead letters": "/dead-letters",
    }
)
"""The pages that show and end a finding, by its part."""


async def read(visit: Visit) -> Mapping[str, Any]:
    """Check every part, and return the findings."""
    report = await visit.services.operations.checkup().run()
    failures = sum(each.verdict is CheckResult.FAILED for each in report.findings)
    found = [(each, _place(each.part)) for each in report.findings]
    return {"report": report, "findings": found, "failures": failures}


def _place(part: str) -> str:
    """Return the page of the console that shows a part, empty without one."""
    if part in _PLACES:
        return _PLACES[part]
    about = part.removeprefix("connection ").removeprefix("feed of ")
    return "" if about == part else f"/connections/{quote(about, safe='')}"


PAGE = ConsolePage(
    "/system/doctor",
    "doctor.html",
    read,
    section="/system",
    scope=Scope.WRITE,
    seconds=2 * PART_SECONDS,
)
