"""Run commands that retry or discard sync events."""

import getpass
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from zenskar.cli import session

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from zenskar.model.actor import Actor
    from zenskar.ops.replay import Replay

T = TypeVar("T")
ReasonOption = Annotated[
    str | None, typer.Option("--reason", help="Why, for `zenskar audit list`.")
]


def run_with_replay(operation: "Callable[[AsyncEngine, Replay], Awaitable[T]]") -> T:
    """Run an operation with a replay, then wake the workers of the changed topics."""
    return session.run_with_engine(lambda engine: _with_replay(engine, operation))


def current_actor(reason: str | None = None) -> "Actor":
    """Return the user and the machine of this command, for the history.

    Raises `InvalidInput` when the reason is not one line.
    """
    from zenskar.model.actor import Actor, check_reason

    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a user id without a name.
        name = "an unknown user"
    return Actor(name, f"the command line on {socket.gethostname()}", check_reason(reason))


async def _with_replay(
    engine: "AsyncEngine", operation: "Callable[[AsyncEngine, Replay], Awaitable[T]]"
) -> T:
    from zenskar.db.driver.engine import in_transaction
    from zenskar.ops.replay import Replay
    from zenskar.schema_catalog import core_schemas

    topics: set[str] = set()
    found = await operation(engine, Replay(engine, topics.add, core_schemas()["event"]))
    await in_transaction(engine, lambda c: session.notify(c, *topics))
    return found
