"""Run all checks without pytest, and give a verdict for each capability."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pytest

from zenskar.testing.check_method import CheckMethod, capability_of, checks_of, reason_of
from zenskar.testing.conformance import IntegrationConformance


class CheckOutcome(StrEnum):
    """The outcome of a check or of a capability."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_OFFERED = "not offered"


@dataclass(frozen=True, slots=True)
class CheckVerdict:
    """The outcome of one check, with the reason unless it passed."""

    check: str
    capability: str
    outcome: CheckOutcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CapabilityVerdict:
    """The outcome of all checks of a capability, with the reasons of those that did not pass."""

    capability: str
    outcome: CheckOutcome
    reasons: tuple[str, ...] = ()


def judge(
    case: type[IntegrationConformance], only: Collection[str] | None = None
) -> tuple[CheckVerdict, ...]:
    """Run the checks of a test class, and return the verdicts in the order of the checks.

    `only` names the checks to run; None: every check. Call it outside of an event loop.
    """
    names = checks_of(case)
    return tuple(_judge(case, name) for name in names if only is None or name in only)


def by_capability(verdicts: Sequence[CheckVerdict]) -> tuple[CapabilityVerdict, ...]:
    """Return a verdict for each capability: failed with one failure, passed with one pass."""
    names = dict.fromkeys(each.capability for each in verdicts)
    return tuple(_summed(name, [v for v in verdicts if v.capability == name]) for name in names)


def _summed(name: str, verdicts: Sequence[CheckVerdict]) -> CapabilityVerdict:
    reached = {each.outcome for each in verdicts}
    order = (CheckOutcome.FAILED, CheckOutcome.PASSED, CheckOutcome.NOT_OFFERED)
    outcome = next(each for each in order if each in reached)
    reasons = tuple(f"{each.check}: {each.reason}" for each in verdicts if each.reason)
    return CapabilityVerdict(name, outcome, reasons)


def _judge(case: type[IntegrationConformance], name: str) -> CheckVerdict:
    method = getattr(case, name)
    capability = capability_of(method) or ""
    marks = {mark.name: reason_of(mark) for mark in getattr(method, "pytestmark", ())}
    outcome, reason = (
        (CheckOutcome.NOT_OFFERED, marks["skip"]) if "skip" in marks else _outcome(case(), method)
    )
    if outcome is CheckOutcome.FAILED and "xfail" in marks:
        outcome, reason = CheckOutcome.NOT_OFFERED, marks["xfail"]
    return CheckVerdict(name, capability, outcome, reason)


def _outcome(case: Any, method: CheckMethod) -> tuple[CheckOutcome, str]:
    try:
        method(case)
    except pytest.skip.Exception as skipped:
        return CheckOutcome.NOT_OFFERED, str(skipped)
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything
        return CheckOutcome.FAILED, f"{type(error).__name__}: {error}"
    return CheckOutcome.PASSED, ""
