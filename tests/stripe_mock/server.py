"""stripe-mock, Stripe's own server for tests: it validates requests by Stripe's OpenAPI document.

https://github.com/stripe/stripe-mock. The first use fetches and builds it with Go.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MODULE = "github.com/stripe/stripe-mock"
VERSION = "v0.203.0"
CACHE = Path(__file__).parents[2] / ".cache" / "stripe-mock" / VERSION
_BUILD_SECONDS, _START_SECONDS = 300, 20
NO_GO = "This lane builds stripe-mock with Go: apt-get install golang-go"


class LaneUnavailable(Exception):
    """A requirement of the lane is missing; the message names it."""


def program() -> Path:
    """Return the program, built on first use."""
    built = CACHE / "stripe-mock"
    if not built.exists():
        _go("install", f"{MODULE}@{VERSION}")
    return built


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document of this version of stripe-mock."""
    answer = json.loads(_go("mod", "download", "-json", f"{MODULE}@{VERSION}"))
    document = Path(answer["Dir"]) / "embedded" / "openapi" / "spec3.json"
    found: dict[str, Any] = json.loads(document.read_text(encoding="utf-8"))
    return found


@contextmanager
def running() -> Iterator[str]:
    """Run the server on a free port; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        (program(), "-http-addr", f"127.0.0.1:{port}"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=_START_SECONDS)


def _go(*arguments: str) -> str:
    if shutil.which("go") is None:
        raise LaneUnavailable(NO_GO)
    CACHE.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ("go", *arguments),
        cwd=CACHE,
        env={**os.environ, "GOBIN": str(CACHE), "GOFLAGS": "-mod=mod"},
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    if done.returncode:
        raise LaneUnavailable(f"go {arguments[0]} failed: {done.stderr[-500:]}")
    return done.stdout


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise LaneUnavailable(f"stripe-mock ended with {process.returncode}")
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise LaneUnavailable("stripe-mock does not listen")
