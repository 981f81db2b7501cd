"""Run zenskar as a process, as an installed program runs."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

T = TypeVar("T")
DEADLINE_SECONDS = 60.0
ZENSKAR = (sys.executable, "-m", "zenskar.cli.main")


@contextmanager
def empty_folder() -> Iterator[Path]:
    """Make a folder, not pytest's own one, and remove it.

    Another session of pytest closes that one to other users, and where tests run as root
    PostgreSQL is such a user.
    """
    with TemporaryDirectory(prefix="zenskar-home-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def environment(**variables: str) -> dict[str, str]:
    """Return a bare environment: nothing of the machine's own settings gets in."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1", **variables}


class Running:
    """A process whose output goes to files; what it prints as JSON is what it is asked for."""

    def __init__(
        self, command: tuple[str, ...], folder: Path, variables: Mapping[str, str]
    ) -> None:
        self._stdout = folder / f"{time.monotonic_ns()}.out"
        self._stderr = self._stdout.with_suffix(".err")
        with self._stdout.open("w") as stdout, self._stderr.open("w") as stderr:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment(**variables), stdout=stdout, stderr=stderr
            )

    @property
    def stdout(self) -> str:
        return self._stdout.read_text()

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    def ready(self) -> dict[str, Any]:
        """Wait for the JSON that says where it is."""
        return until(self._ready)

    def ready_text(self) -> str:
        """Wait for the text that says where it is."""
        return until(lambda: self._alive() and "is ready" in self.stdout and self.stdout)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_SECONDS)

    def _ready(self) -> dict[str, Any] | None:
        self._alive()
        try:
            found: dict[str, Any] = json.loads(self.stdout)
        except ValueError:
            return None
        return found

    def _alive(self) -> bool:
        assert self.process.poll() is None, f"it has ended: {self.stderr}"
        return True


def until(check: Callable[[], T | None]) -> T:
    """Ask again and again until the answer is yes; fail when that takes too long."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := check()):
        assert time.monotonic() < deadline, "this did not happen in time"
        time.sleep(0.05)
    return found


def run(*arguments: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(
        (*ZENSKAR, *arguments),
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def ada(**fields: Any) -> dict[str, Any]:
    """Return a customer to create."""
    return {"name": "Ada", "email": "ada@example.com", **fields}


def ask(
    url: str,
    body: Any = None,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Any]:
    """Make a request; return the status and the JSON of the answer."""
    data = None if body is None else json.dumps(body).encode()
    told = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data, told, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.loads(response.read() or "null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or "null")


def customers(api: str) -> dict[str, dict[str, Any]]:
    """Return the customers by name."""
    return {customer["name"]: customer for customer in ask(f"{api}/customers")[1]["data"]}
