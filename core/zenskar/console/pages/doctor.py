"""The check of every part, as `zenskar doctor` makes it."""

from collections.abc import Mapping
from typing import Any

from zenskar.console.page import ConsolePage, Visit
from zenskar.model.scope import Scope
from zenskar.ops.checks.checkup import PART_SECONDS
from zenskar.ops.checks.finding import CheckResult


async def read(visit: Visit) -> Mapping[str, Any]:
    """Check every part, and return the findings."""
    report = await visit.services.operations.checkup().run()
    failures = sum(each.verdict is CheckResult.FAILED for each in report.findings)
    return {"report": report, "failures": failures}


PAGE = ConsolePage(
    "/system/doctor",
    "doctor.html",
    read,
    section="/system",
    scope=Scope.WRITE,
    seconds=2 * PART_SECONDS,
)
