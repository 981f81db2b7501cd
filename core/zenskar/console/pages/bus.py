"""The bus: the partitions of the log, and the messages that wait in the outbox."""

import asyncio
from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.bus.port import LogRange
from zenskar.console.page import ConsolePage, Visit
from zenskar.db import outbox
from zenskar.db.driver.engine import in_transaction
from zenskar.db.outbox import SourceDepth, WaitingMessage
from zenskar.errors import Unavailable

_MOST_COUNTED, _MOST_SHOWN = 50_000, 25
_LOG_SECONDS = 3.0


async def read(visit: Visit) -> Mapping[str, Any]:
    """Return the data of the page."""
    services = visit.services

    async def load(db: AsyncConnection) -> tuple[list[SourceDepth], list[WaitingMessage]]:
        return await outbox.sources(db, _MOST_COUNTED), await outbox.oldest(db, _MOST_SHOWN)

    depths, oldest = await in_transaction(services.engine, load)
    log, problem = await _log(visit)
    counted = sum(each.count for each in depths)
    return {
        "kafka": bool(services.settings.kafka_bootstrap_servers),
        "log": sorted((log or {}).items()),
        "problem": problem,
        "behind": sum(each.behind for each in (log or {}).values()),
        "depths": depths,
        "by_state": {
            state: sum(each.count for each in depths if each.state == state)
            for state in ("due", "delayed", "parked", "claimed")
        },
        "oldest": oldest,
        "complete": counted < _MOST_COUNTED,
    }


async def _log(visit: Visit) -> tuple[Mapping[tuple[str, int], LogRange] | None, str]:
    """Return the partitions, or the problem that prevents to read them."""
    try:
        async with asyncio.timeout(_LOG_SECONDS):
            return await visit.services.log(), ""
    except TimeoutError:
        return None, f"Kafka does not answer within {_LOG_SECONDS:g} seconds"
    except Unavailable as error:
        return None, str(error)


PAGE = ConsolePage("/bus", "bus.html", read, menu="Bus", icon="bus", live=True)
