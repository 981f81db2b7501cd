"""The kit itself: its parts, its verdicts, and the checks that nobody can replace."""

import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from plugins.template.tests import test_conformance as kit
from tests.support.databases import Databases
from tests.testing.broken import BROKEN, Limited, Together
from tests.testing.variants import StatefulCase
from zenskar.testing import (
    CapabilityVerdict,
    CheckOutcome,
    CheckVerdict,
    IntegrationConformance,
    by_capability,
    judge,
)
from zenskar.testing.check_method import capability_of, checks_of
from zenskar.testing.limit_checks import LimitChecks
from zenskar_template import TemplateIntegration

REASON = "the CRM is down"


def test_every_capability_of_the_template(databases: Databases) -> None:
    """Run a check of each capability; the template's own tests run all."""

    class Case(kit.TestConformance):
        examples = 6

        def database(self) -> AbstractAsyncContextManager[str]:
            return databases.one_more()

    only = {capability_of(each): name for name, each in reversed(checks_of(Case).items())}.values()
    verdicts = {each.capability: each for each in by_capability(judge(Case, only=only))}
    outcomes = {name: each.outcome for name, each in verdicts.items()}
    missing = {name for name, outcome in outcomes.items() if outcome is CheckOutcome.NOT_OFFERED}
    assert missing == {
        *("idempotency keys", "feeds", "origins", "fetch many", "versions", "memos"),
        *("call limits", "pushes together"),
    }
    assert "idempotency_key_lifetime" in verdicts["idempotency keys"].reasons[0]
    passed = {name for name, outcome in outcomes.items() if outcome is CheckOutcome.PASSED}
    assert passed == {
        *("declarations", "secrets", "start and stop", "webhooks", "events", "translation"),
        *("life cycle", "paging", "clocks", "lost answers", "failures", "cancellation"),
        "whole runtime",
    }


def test_an_integration_that_offers_everything_passes() -> None:
    only = ("feed", "checkpoint", "states", "lost", "many", "batch", "version", "memo", "second")
    names = [name for name in checks_of(StatefulCase) if any(word in name for word in only)]
    verdicts = judge(StatefulCase, only=names)
    failed = [each for each in verdicts if each.outcome is CheckOutcome.FAILED]
    offered = {each.capability for each in verdicts if each.outcome is CheckOutcome.PASSED}
    assert failed == []
    assert offered >= {"feeds", "origins", "fetch many", "versions", "memos", "clocks"}


@pytest.mark.parametrize("kind", [Limited, Together])
def test_limits_and_pushes_together(kind: type[TemplateIntegration]) -> None:
    case = type("Case", (kit.TestConformance,), {"integration": kind})
    kind.__module__ = TemplateIntegration.__module__
    checks = {name for name in dir(LimitChecks) if name.startswith("test_")}
    outcomes = {v.outcome for v in judge(case, only=checks)}
    assert outcomes == {CheckOutcome.PASSED, CheckOutcome.NOT_OFFERED}


def test_a_missing_part_is_not_offered() -> None:
    class Bare(IntegrationConformance):
        integration = TemplateIntegration
        settings: Mapping[str, Any] = kit.SETTINGS

    verdicts = {each.check: each for each in judge(Bare)}
    assert CheckOutcome.FAILED not in {each.outcome for each in verdicts.values()}
    assert "`webhooks`" in verdicts["test_genuine_webhooks_are_verified"].reason
    assert "`external_system`" in verdicts["test_a_delete_is_proven"].reason
    assert "`address_setting`" in verdicts["test_rate_limits"].reason
    assert verdicts["test_timeouts"].outcome is CheckOutcome.PASSED


def test_declarations_that_the_core_refuses() -> None:
    class Wrong(TemplateIntegration):
        carries: ClassVar = {"customer": ("shoe_size",)}

    class Case(kit.TestConformance):
        integration = Wrong

    (verdict,) = (v for v in judge(Case) if v.check == "test_declarations_are_valid")
    assert verdict.outcome is CheckOutcome.FAILED
    assert "shoe_size" in verdict.reason


def test_a_check_cannot_be_replaced() -> None:
    with pytest.raises(TypeError, match="test_rate_limits is a check of the kit"):

        class Replaced(kit.TestConformance):
            def test_rate_limits(self) -> None:
                """Check nothing."""


@pytest.mark.parametrize("mark", [pytest.mark.xfail, pytest.mark.skip(reason=" ")])
def test_a_mark_needs_a_reason(mark: Any) -> None:
    with pytest.raises(TypeError, match="with a reason"):

        class Unexplained(kit.TestConformance):
            @mark
            def test_rate_limits(self) -> None:
                """Check nothing."""


def test_a_mixin_replaces_no_check() -> None:
    class Mixin:
        def test_rate_limits(self) -> None:
            """Check nothing."""

    with pytest.raises(TypeError, match="a check of the kit"):
        type("Mixed", (Mixin, kit.TestConformance), {})


def test_a_mark_keeps_the_check() -> None:
    class Marked(kit.TestConformance):
        integration = BROKEN["ReadsSecondsOnly"].case.integration

        @pytest.mark.xfail(reason=REASON)
        def test_rate_limits(self) -> None:
            """Run the check of the kit instead of this body."""

        @pytest.mark.skip(REASON)
        def test_server_errors(self) -> None:
            """Run nothing."""

        @pytest.mark.xfail(reason=REASON)
        def test_a_delete_is_proven(self) -> None:
            raise AssertionError("the body of an override never runs")

    marked = ("test_rate_limits", "test_server_errors", "test_a_delete_is_proven")
    verdicts = {each.check: each for each in judge(Marked, only=marked)}
    for name in marked[:2]:
        assert verdicts[name] == CheckVerdict(name, "failures", CheckOutcome.NOT_OFFERED, REASON)
    assert verdicts["test_a_delete_is_proven"].outcome is CheckOutcome.PASSED
    assert not hasattr(kit.TestConformance.test_rate_limits, "pytestmark")


def test_one_failure_fails_a_capability() -> None:
    verdicts = (
        CheckVerdict("test_a", "paging", CheckOutcome.PASSED),
        CheckVerdict("test_b", "paging", CheckOutcome.FAILED, "why"),
        CheckVerdict("test_c", "paging", CheckOutcome.NOT_OFFERED, "never"),
    )
    reasons = ("test_b: why", "test_c: never")
    assert by_capability(verdicts) == (CapabilityVerdict("paging", CheckOutcome.FAILED, reasons),)


def test_pytest_runs_the_checks(tmp_path: Path) -> None:
    """A test module of its own, without other plugins of pytest."""
    text = (
        "from zenskar.testing import IntegrationConformance\n"
        "from zenskar_template import TemplateIntegration\n"
        "class TestCrm(IntegrationConformance):\n"
        "    integration = TemplateIntegration\n"
        f"    settings = {dict(kit.SETTINGS)!r}\n"
    )
    (tmp_path / "test_crm.py").write_text(text)
    done = subprocess.run(
        (sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-p", "no:asyncio"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the test class has no `webhooks`" in done.stdout
    assert " passed" in done.stdout
