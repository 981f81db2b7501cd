"""Messages that were put back while their connection was being resumed."""

from zenskar.db import connections
from zenskar.db.driver.engine import in_transaction
from zenskar.sync.context import SyncContext

_RESUMING_SECONDS = 1.0
"""More than the commit of a resumption takes."""


async def release_if_resumed(context: SyncContext, topic: str, source: str, seconds: float) -> None:
    """Make waiting messages due if their connection was resumed during their processing.

    `seconds` is the time that the processing took. Without this, they wait for the scheduler.
    """
    if await in_transaction(
        context.engine,
        lambda c: connections.release_if_resumed(c, source, seconds + _RESUMING_SECONDS),
    ):
        context.wake(topic)
