"""Programs beside zenskar, each a separate process."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from benchmarks import peers
from tests.kafka.cluster import free_ports
from tests.kafka.processes import Process, serve

CONTENDERS = Path(__file__).parent / "contenders"


@asynccontextmanager
async def listening(
    name: str, folder: Path, port: int, command: list[str]
) -> AsyncIterator[Process]:
    """Run a program until it listens on its port."""
    process = Process(name, tuple(command), folder)

    async def answers() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    await serve(process, answers, 60)
    try:
        yield process
    finally:
        await process.stop(5)


@asynccontextmanager
async def telling(name: str, folder: Path, command: list[str]) -> AsyncIterator[Process]:
    """Run a program until it reports that it is ready."""
    process = Process(name, tuple(command), folder)

    async def told() -> bool:
        return process.log.exists() and "ready" in process.log.read_text()

    await serve(process, told, 60)
    try:
        yield process
    finally:
        await process.stop(5)


def contender(name: str, *arguments: str) -> list[str]:
    """Return the command of one of the contenders, in the environment of the peers."""
    return [peers.python(), str(CONTENDERS / f"{name}.py"), *arguments]


class StubStripe:
    """A Stripe that only answers, and its recorded requests."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"

    def seen(self) -> dict[str, float]:
        """Return the time of each request by the customer's name, in Unix seconds."""
        found: dict[str, float] = self._ask("GET")["seen"]
        return found

    def refused(self) -> int:
        """Return the number of calls above the limit."""
        return int(self._ask("GET")["refused"])

    def forget(self) -> None:
        """Delete the recorded requests."""
        self._ask("DELETE")

    def _ask(self, method: str) -> dict[str, dict[str, float]]:
        with urlopen(Request(f"{self.url}/_seen", method=method), timeout=10) as response:
            found: dict[str, dict[str, float]] = json.loads(response.read())
        return found


@asynccontextmanager
async def stub_stripe(
    folder: Path, *, delay: float = 0.0, limit: float = 0.0
) -> AsyncIterator[StubStripe]:
    """Run a Stripe that answers after a while and refuses what exceeds a limit."""
    (port,) = free_ports(1)
    options = ["--delay", str(delay), "--limit", str(limit)]
    command = [sys.executable, str(Path(__file__).parent / "stub.py"), str(port), *options]
    async with listening(f"stub-{port}", folder, port, command) as process:
        yield StubStripe(process, port)


@asynccontextmanager
async def asked(command: list[str]) -> AsyncIterator["subprocess.Popen[str]"]:
    """Run a program that waits for a line before it begins."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        assert line.strip() == "ready", line
        try:
            yield process
        finally:
            process.kill()
