"""Fixtures of the command line's tests."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import orjson
import pytest
from typer.testing import CliRunner

from tests.cli.processes import ZENSKAR, Running, empty_folder
from tests.support.flow import Flow, open_flow
from tests.support.postgres import apart


class Cli(Protocol):
    """Runs a command in this process."""

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Return what it writes to standard output, or to standard error where it fails."""

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Return what it writes as JSON."""


class _Cli:
    def __init__(self) -> None:
        self._runner = CliRunner()

    def __call__(self, *arguments: str, code: int = 0) -> str:
        from zenskar.cli.app import app

        result = self._runner.invoke(app, arguments)
        assert result.exit_code == code, (result.output, result.exception)
        return result.stdout if code == 0 else result.stdout + result.stderr

    def json(self, *arguments: str, code: int = 0) -> Any:
        return orjson.loads(self(*arguments, "--output", "json", code=code))


@pytest.fixture
def home() -> Iterator[Path]:
    """Make an empty folder to work in."""
    with empty_folder() as folder:
        yield folder


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Work in an empty folder, without any setting of the machine."""
    for name in list(os.environ):
        if name.startswith(("ZENSKAR_", "STRIPE_")) and "TEST" not in name:
            monkeypatch.delenv(name)
    monkeypatch.chdir(home)


@pytest.fixture
def cli(bare: None) -> Cli:
    """Run commands in this process."""
    return _Cli()


@pytest.fixture
def database(cli: Cli, database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run commands on a fresh, migrated database."""
    monkeypatch.setenv("ZENSKAR_DATABASE_URL", database_url)
    return database_url


class Start(Protocol):
    """Starts zenskar as a process; it is killed when the test ends, if it still runs."""

    def __call__(self, *arguments: str, **variables: str) -> Running:
        """Start it with these arguments and environment variables."""


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Start processes in one folder."""
    started: list[Running] = []

    def run(*arguments: str, **variables: str) -> Running:
        started.append(Running((*ZENSKAR, *arguments), home, variables))
        return started[-1]

    yield run
    for running in started:
        if running.process.poll() is None:
            # Asked first, so that it takes its database down with it.
            running.process.send_signal(signal.SIGTERM)
            running.process.wait(30)


def with_flow(database_url: str, work: Callable[[Flow], Any], **settings: Any) -> Any:
    """Do something with a whole runtime on this database, and a fake system called `fake`."""

    async def run() -> Any:
        async with open_flow(database_url, **settings) as flow:
            return await work(flow)

    return apart(run)
