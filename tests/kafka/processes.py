"""A process that a test starts, kills, stops, freezes and starts again."""

import asyncio
import ctypes
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

_TAIL_LINES = 25
_POLL_SECONDS = 0.05


class Process:
    """A command with a name; its output is appended to a log file over all its lives."""

    def __init__(
        self,
        name: str,
        command: tuple[str, ...],
        folder: Path,
        variables: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = command
        self._folder = folder
        self._variables = None if variables is None else dict(variables)
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start the process; it gets no signal of the terminal, and ends with this process."""
        assert not self.alive, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - prctl alone, in the child
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
            )

    def send(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def pause(self) -> None:
        """Freeze the process, like a hanging machine."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.send(signal.SIGCONT)

    async def kill(self) -> None:
        """Kill the process."""
        if self._process is not None:
            self._process.kill()
            await until(lambda: _true(not self.alive), 30, f"the end of {self.name}")

    async def stop(self, seconds: float = 30, number: int = signal.SIGTERM) -> int | None:
        """Terminate the process; kill it after a timeout. Return the exit code."""
        if self.alive:
            self.resume()
            self.send(number)
            try:
                await until(lambda: _true(not self.alive), seconds, f"the end of {self.name}")
            except TimeoutError:
                await self.kill()
        return self.returncode

    def tail(self) -> str:
        """Return the end of the log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"--- {self.log}", *lines[-_TAIL_LINES:]])


async def serve(process: Process, serves: Callable[[], Awaitable[object]], seconds: float) -> None:
    """Start a process until it serves.

    The successor of a killed process may fail at first: its port, its lock or its session in
    ZooKeeper is still taken.
    """

    async def check() -> object:
        if not process.alive:
            process.start()
        return await serves()

    try:
        await until(check, seconds, f"the start of {process.name}")
    except TimeoutError as error:
        raise TimeoutError(f"{error}\n{process.tail()}") from None


async def until(
    condition: Callable[[], Awaitable[object]], seconds: float, what: str = "this"
) -> None:
    """Return as soon as the condition holds; TimeoutError names the condition."""
    try:
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise TimeoutError(f"{what} was awaited for {seconds:g} seconds in vain") from None


async def _true(value: bool) -> bool:
    return value


if sys.platform == "linux":
    _libc = ctypes.CDLL(None)

    def _die_with_parent() -> None:
        _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG

else:
    _die_with_parent = None
