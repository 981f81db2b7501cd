"""Write verdicts as JUnit XML."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from zenskar.telemetry.terminal import printable
from zenskar.testing.verdicts import CheckOutcome, CheckVerdict


def write_junit(path: Path, suite: str, verdicts: Sequence[CheckVerdict]) -> None:
    """Write a file with a test case for each check, the capability as its class.

    Raises `OSError` when the file cannot be written.
    """
    outcomes = [each.outcome for each in verdicts]
    root = ET.Element(
        "testsuite",
        name=suite,
        tests=str(len(verdicts)),
        failures=str(outcomes.count(CheckOutcome.FAILED)),
        skipped=str(outcomes.count(CheckOutcome.NOT_OFFERED)),
    )
    for each in verdicts:
        case = ET.SubElement(root, "testcase", classname=each.capability, name=each.check)
        if each.outcome is not CheckOutcome.PASSED:
            kind = "failure" if each.outcome is CheckOutcome.FAILED else "skipped"
            ET.SubElement(case, kind, message=printable(each.reason))
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
