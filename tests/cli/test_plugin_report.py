"""`zenskar plugins check`: its test class, its verdicts and its reports."""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from plugins.template.tests import test_conformance as kit
from tests.cli.conftest import Cli
from tests.cli.processes import Running, until
from zenskar.testing import CheckOutcome, CheckVerdict, judge
from zenskar.testing.plugin_check import against

ROOT = Path(__file__).parents[2]
CASE = "plugins.template.tests.test_conformance:TestConformance"
WITHOUT_CALLS = {"declarations", "failures", "secrets", "translation"}
VERDICTS = (
    CheckVerdict("test_a", "paging", CheckOutcome.PASSED),
    CheckVerdict("test_b", "paging", CheckOutcome.FAILED, "an object is on two pages \x1b[2J"),
    CheckVerdict("test_c", "feeds", CheckOutcome.NOT_OFFERED, "no `changes`"),
)


@pytest.fixture
def connected(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Set the settings of a connection."""
    for name, value in kit.SETTINGS.items():
        monkeypatch.setenv(f"TEMPLATE_{name.upper()}", value)
    return cli


def test_without_a_test_class_some_checks_run(connected: Cli) -> None:
    report = connected.json("plugins", "check", "template")
    assert report["case"] is None
    outcomes = {row["capability"]: row["outcome"] for row in report["capabilities"]}
    assert {name for name, outcome in outcomes.items() if outcome == "passed"} == WITHOUT_CALLS
    assert "failed" not in outcomes.values()
    reasons = {each["check"]: each["reason"] for each in report["checks"]}
    assert "--case MODULE:CLASS" in reasons["test_a_delete_is_proven"]
    assert reasons["test_timeouts"] is None


def test_a_failure_has_a_reason_and_an_exit_code(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    judged = []
    monkeypatch.setattr("zenskar.testing.judge", lambda case: judged.append(case) or VERDICTS)
    command = ("plugins", "check", "template", "--case", CASE)
    text = cli(*command, "--junit", "verdicts.xml", code=1)
    assert judged == [kit.TestConformance]
    assert "failed: paging, test_b: an object is on two pages \\u001b[2J" in text
    assert "3 checks: 1 passed, 1 failed, 1 not offered" in text
    suite = ET.parse(home / "verdicts.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    kinds = [(case.get("classname"), [each.tag for each in case]) for case in suite]
    assert kinds == [("paging", []), ("paging", ["failure"]), ("feeds", ["skipped"])]
    report = cli.json(*command, code=1)
    assert report["capabilities"][0] == {
        "capability": "paging", "outcome": "failed", "passed": 1, "failed": 1, "not_offered": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("nowhere",), "there is no plugin nowhere"),
        (("template",), "TEMPLATE_API_KEY"),
        (("template", "--case", "nowhere:Case"), "nowhere"),
        (("template", "--case", "zenskar:Page"), "no IntegrationConformance"),
        (("stripe", "--case", CASE), "not StripeIntegration"),
    ],
)
def test_a_check_that_cannot_start_says_why(
    cli: Cli, arguments: tuple[str, ...], problem: str
) -> None:
    assert problem in cli("plugins", "check", *arguments, code=1)


def test_a_server_is_checked_in_place_of_the_look_alike(home: Path) -> None:
    """Twice, because the objects of the first run are still there."""
    command = (sys.executable, "-m", "plugins.template.tests.crm")
    crm = Running(command, home, {"PYTHONPATH": str(ROOT)})
    try:
        until(lambda: crm.stdout.count("\n") == 3)
        pairs = (line.partition("=") for line in crm.stdout.splitlines())
        given = {name.removeprefix("TEMPLATE_").lower(): value for name, _, value in pairs}
        case = against(kit.TestConformance, given["api_base"], given)
        only = ["test_a_created_object_is_found", "test_changes_of_both_sides_arrive"]
        for _ in range(2):
            verdicts = {each.check: each for each in judge(case, only=only)}
            found, whole = (verdicts[name] for name in only)
            assert (found.outcome, found.reason) == (CheckOutcome.PASSED, "")
            assert "--against" in whole.reason
    finally:
        crm.stop()
