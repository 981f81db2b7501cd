"""A PostgreSQL of a test's own, whose processes can be frozen: it accepts, and never answers."""

import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from zenskar.db.driver.embedded import embedded_postgres
from zenskar.db.schema import migrate

_PROC = Path("/proc")


@dataclass(frozen=True)
class FreezableServer:
    """A running server and the id of its first process."""

    url: str
    pid: int

    def freeze(self) -> None:
        """Stop every process: the kernel still accepts connections."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue every process."""
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        # The first process first: a frozen one starts no other.
        for pid in (self.pid, *_children(self.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@asynccontextmanager
async def freezable_server() -> AsyncIterator[FreezableServer]:
    """Yield a server with a migrated database."""
    with tempfile.TemporaryDirectory(prefix="zenskar-frozen-") as folder:
        async with embedded_postgres(Path(folder)) as url:
            await migrate.upgrade(url)
            first = (Path(folder) / "postgres" / "postmaster.pid").read_text().splitlines()[0]
            server = FreezableServer(url, int(first))
            try:
                yield server
            finally:
                server.thaw()


def _children(parent: int) -> list[int]:
    text = (_PROC / str(parent) / "task" / str(parent) / "children").read_text()
    return [int(each) for each in text.split()]
