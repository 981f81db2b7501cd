"""The findings of a checkup."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class CheckResult(StrEnum):
    """The result of a check. A `NOTE` is no failure."""

    OK = "ok"
    NOTE = "note"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of checking a part, and the fix for a failure."""

    part: str
    verdict: CheckResult
    detail: str
    fix: str | None = None


def ok(part: str, detail: str) -> Finding:
    """Return that a part works."""
    return Finding(part, CheckResult.OK, detail)


def note(part: str, detail: str, fix: str | None = None) -> Finding:
    """Return a remark about a part that works."""
    return Finding(part, CheckResult.NOTE, detail, fix)


def failed(part: str, detail: str, fix: str) -> Finding:
    """Return that a part does not work."""
    return Finding(part, CheckResult.FAILED, detail, fix)


@dataclass(frozen=True, slots=True)
class CheckupReport:
    """The findings about all parts, in the order in which to fix them."""

    findings: Sequence[Finding]

    @property
    def ok(self) -> bool:
        """Whether no part has failed."""
        return all(each.verdict is not CheckResult.FAILED for each in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"ok": self.ok, "checks": [asdict(each) for each in self.findings]}
