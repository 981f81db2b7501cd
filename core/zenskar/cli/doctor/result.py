"""What a check of `zenskar doctor` finds."""

from dataclasses import dataclass
from enum import StrEnum


class CheckResult(StrEnum):
    """How a part is. `NOTE` is worth knowing, and no failure."""

    OK = "ok"
    NOTE = "note"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One part, how it is, and how to fix it."""

    part: str
    verdict: CheckResult
    detail: str
    fix: str | None = None


def ok(part: str, detail: str) -> Finding:
    """Return that a part is well."""
    return Finding(part, CheckResult.OK, detail)


def note(part: str, detail: str, fix: str | None = None) -> Finding:
    """Return what is worth knowing."""
    return Finding(part, CheckResult.NOTE, detail, fix)


def failed(part: str, detail: str, fix: str) -> Finding:
    """Return that a part is not well."""
    return Finding(part, CheckResult.FAILED, detail, fix)
