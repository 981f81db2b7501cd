"""What commands that retry or discard share."""

import getpass
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from zenskar.cli import session

if TYPE_CHECKING:
    from zenskar.db.engines import AsyncEngine
    from zenskar.sync.replay import Operator, Replay

T = TypeVar("T")


def run(work: "Callable[[Replay], Awaitable[T]]") -> T:
    """Do something with a replay, then wake the workers that it concerns."""
    return session.run(lambda engine: _with_replay(engine, work))


def operator() -> "Operator":
    """Return who runs this command, and where, for the history."""
    from zenskar.sync.replay import Operator

    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number without a name.
        name = "an unknown user"
    return Operator(name, f"the command line on {socket.gethostname()}")


async def _with_replay(engine: "AsyncEngine", work: "Callable[[Replay], Awaitable[T]]") -> T:
    from zenskar.db.engine import in_transaction
    from zenskar.schema_catalog import core_schemas
    from zenskar.sync.replay import Replay

    topics: set[str] = set()
    found = await work(Replay(engine, topics.add, core_schemas()["event"]))
    await in_transaction(engine, lambda c: session.notify(c, *topics))
    return found
