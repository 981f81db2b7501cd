"""The page of the integration has every setting of the code, and every edit of its sandbox."""

import re
from pathlib import Path

from zenskar_salesforce import SalesforceIntegration
from zenskar_salesforce.sandbox import SalesforceSandbox

PAGE = Path(__file__).parents[3] / "docs" / "salesforce.md"


def first_cells(heading: str) -> dict[str, str]:
    """The code in the first cell of every row of the tables under a heading, and the row."""
    _, _, text = PAGE.read_text(encoding="utf-8").partition(f"\n{heading}\n")
    text = re.split(r"^#", text, maxsplit=1, flags=re.MULTILINE)[0]
    found = re.findall(r"^\| (`.+?) \|(.*)$", text, re.MULTILINE)
    return {name: row for cell, row in found for name in re.findall(r"`([^`]+)`", cell)}


def test_settings_and_their_defaults() -> None:
    table = first_cells("## Settings")
    settings = SalesforceIntegration.settings
    assert table.keys() == {f"SALESFORCE_{each.name.upper()}" for each in settings}
    for each in settings:
        shown = {None: "none", True: "`true`", False: "`false`"}.get(each.default)  # type: ignore[call-overload]
        number = f"{each.default:g}" if isinstance(each.default, float) else each.default
        wanted = "required" if each.required else shown or f"`{number}`"
        assert table[f"SALESFORCE_{each.name.upper()}"].split(" | ")[0].strip() == wanted


async def test_edits_of_the_sandbox() -> None:
    async with SalesforceSandbox() as sandbox:
        edits = {f"{method} /_sandbox/{path}" for method, path, _ in sandbox.edits()}
    assert first_cells("## Sandbox").keys() == edits
