"""The drill: a topology for each fault, and the table at the end."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drill import table


@pytest.fixture
def home() -> Iterator[Path]:
    """Yield a folder that PostgreSQL's own user can enter too."""
    with tempfile.TemporaryDirectory(prefix="zenskar-drill-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    for line in table.lines(table.rows):
        terminalreporter.write_line(line)
