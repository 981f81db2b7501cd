"""The table of faults in the document."""

import re
from pathlib import Path

from tests.browser.faults.clicks import documented


def test_every_fault_of_the_table_is_played() -> None:
    modules = sorted(Path(__file__).parent.glob("test_faults_*.py"))
    source = "".join(module.read_text(encoding="utf-8") for module in modules)
    played = re.findall(r'fault\(\w+, "([^"]+)"\)', source)
    assert sorted(played) == sorted(documented())
    assert len(played) == 20
