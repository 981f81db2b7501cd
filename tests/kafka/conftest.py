"""Fixtures of the lane, and its summary."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka import summary
from tests.kafka.cluster import GIVEN, open_cluster
from tests.kafka.jars import LaneUnavailable, chosen_version, distribution


def pytest_sessionstart() -> None:
    """Fail before the first test when the lane cannot run; it never passes without tests."""
    try:
        if given := os.environ.get(GIVEN):
            asyncio.run(_reach(given))
        else:
            distribution(chosen_version(os.environ))
    except (LaneUnavailable, TimeoutError) as error:
        pytest.exit(f"lane kafka: FAILED, it cannot run. {error}", returncode=1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that this cluster cannot run; the summary names them."""
    given = bool(os.environ.get(GIVEN))
    kraft = not given and chosen_version(os.environ).startswith("4")
    out = [
        item
        for item in items
        if (given and item.get_closest_marker("own_cluster"))
        or (kraft and item.get_closest_marker("zookeeper"))
    ]
    items[:] = [item for item in items if item not in out]
    config.hook.pytest_deselected(items=out)
    summary.left_out += [item.name for item in out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the summary."""
    for line in summary.lines(os.environ):
        terminalreporter.write_line(line)


@pytest.fixture
def home() -> Iterator[Path]:
    """Yield a folder that PostgreSQL's own user can enter too."""
    with tempfile.TemporaryDirectory(prefix="zenskar-lane-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def _reach(given: str) -> None:
    async with open_cluster(Path(), environment={GIVEN: given}):
        return


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Yield the address of a shared broker; tests that kill start their own."""
    if given := os.environ.get(GIVEN):
        yield given
        return
    command = [sys.executable, "-m", "tests.kafka.cluster"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        yield address
        process.terminate()
