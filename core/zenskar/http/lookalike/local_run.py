"""Run a look-alike as a sandbox that keeps its secrets and its port from run to run."""

from __future__ import annotations

import errno
import json
import os
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from zenskar.http.lookalike.look_alike import LookAlike

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

_Server = TypeVar("_Server", bound=LookAlike)


@asynccontextmanager
async def running_at(port: int, make: Callable[[int], _Server]) -> AsyncIterator[_Server]:
    """Run the look-alike that `make` returns for a port.

    While another process uses the port, the look-alike gets a free port. Raises `OSError` when it
    cannot listen.
    """
    server = make(port)
    try:
        await server.start()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        server = make(0)
        await server.start()
    try:
        yield server
    finally:
        await server.stop()


def kept_secrets(path: Path, prefixes: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets in a file of the owner only, which the first call makes.

    `prefixes` has the beginning of each secret by its name.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = {name: prefix + secrets.token_urlsafe(24) for name, prefix in prefixes.items()}
        _write_private(path, json.dumps(made))
    kept: dict[str, str] = json.loads(path.read_text())
    return kept


def _write_private(path: Path, text: str) -> None:
    unfinished = path.with_suffix(".tmp")
    unfinished.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(unfinished, flags, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)
