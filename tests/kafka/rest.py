"""Wait for rest, and read both sides."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg

from tests.kafka.processes import until
from tests.kafka.topology import API_KEY, Topology
from tests.simulation.invariants import MAPPINGS, RECORDS, UNFINISHED, Sides

_BUSY = """
    SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM sync_events
            WHERE status IN ('pending', 'processing', 'retrying'))
"""
# A create without an answer, whose record was deleted, is searched for as long as it may arrive.
_AGE = """
    UPDATE push_intents SET created_at = created_at - interval '10 minutes',
                            resent_at = resent_at - interval '10 minutes'
    WHERE state = 'unknown'
"""
_SECONDS_OF_REQUESTS = 60.0
"""Longer than any request of a trial takes to arrive."""
_HISTORY = "SELECT detail FROM sync_event_history WHERE detail IS NOT NULL"
_STEPS = "SELECT count(*) FROM sync_event_history"


@dataclass(frozen=True)
class Found:
    """Both sides at rest, and the webhooks that left no trace here."""

    sides: Sides
    untraced: list[str]
    events: int


async def end_faults(topology: Topology) -> Counter[str]:
    """End the injected faults and return how often each kind occurred."""
    hits: Counter[str] = Counter()
    async with aiohttp.ClientSession() as http:
        url = f"{topology.sandbox_url}/_sandbox/faults"
        async with http.get(url) as response:
            for fault in (await response.json())["data"]:
                hits[fault["kind"]] += fault["hits"]
        await http.delete(url)
    return hits


async def rest(topology: Topology, seconds: float, *, traced: bool = True) -> Found:
    """Wait until no webhook, message or sync event is in progress; then read both sides.

    Every webhook must have left its trace, unless the history was lost and none is `traced`.
    """
    seen: list[Found] = []

    async def check() -> bool:
        if not await _at_rest(topology):
            return False
        # A worker may receive messages during the read, which would then see half of them.
        before = await _steps(topology)
        seen[:] = [await read_both_sides(topology)]
        still = not await _busy(topology) and await _steps(topology) == before
        return still and not (traced and seen[0].untraced)

    with suppress(TimeoutError):
        await until(check, _SECONDS_OF_REQUESTS, "rest")
        return seen[0]
    async with database(topology) as connection:
        await connection.execute(_AGE)
    try:
        await until(check, seconds, "rest")
    except TimeoutError as error:
        raise TimeoutError(f"{error}: {await _restless(topology)}") from None
    return seen[0]


async def read_both_sides(topology: Topology) -> Found:
    """Read both sides."""
    async with database(topology) as connection, aiohttp.ClientSession() as http:
        outside = {seen["id"]: seen for seen in await _all(topology, http, "customers")}
        events = {seen["id"] for seen in await _all(topology, http, "events")}
        traced = await _rows(connection, "SELECT external_event_id AS id FROM sync_events")
        sides = Sides(
            records=await _rows(connection, RECORDS),
            mappings=await _rows(connection, MAPPINGS),
            outside=outside,
            history="\n".join(
                json.dumps(json.loads(row["detail"])) for row in await _rows(connection, _HISTORY)
            ),
            unfinished=await _rows(connection, UNFINISHED),
            pushes=await connection.fetchval("SELECT count(*) FROM push_intents"),
            kills=topology.kills,
        )
    return Found(sides, sorted(events - {row["id"] for row in traced}), len(events))


async def _at_rest(topology: Topology) -> bool:
    if await _busy(topology):
        return False
    url, body = f"{topology.sandbox_url}/_sandbox/settle", {"timeout_seconds": 1}
    async with aiohttp.ClientSession() as http, http.post(url, json=body) as response:
        return response.status == 200 and not await _busy(topology)


async def _busy(topology: Topology) -> int:
    with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        async with database(topology) as connection:
            return await connection.fetchval(_BUSY)
    return 1


async def _steps(topology: Topology) -> int:
    """Return the number of transitions of the sync events; each effect is one."""
    async with database(topology) as connection:
        return int(await connection.fetchval(_STEPS))


async def _restless(topology: Topology) -> str:
    async with database(topology) as connection:
        events = await _rows(
            connection,
            "SELECT direction, event_type, status, error_kind, error_message, updated_at"
            " FROM sync_events WHERE status NOT IN ('succeeded', 'ignored') LIMIT 10",
        )
        waiting = await _rows(connection, "SELECT * FROM outbox LIMIT 5")
    found = await read_both_sides(topology)
    return f"{events} {waiting} {len(found.untraced)} webhooks left no trace: {found.untraced[:5]}"


async def _all(topology: Topology, http: aiohttp.ClientSession, what: str) -> list[dict[str, Any]]:
    """Read a whole list of Stripe's API."""
    found: list[dict[str, Any]] = []
    headers = {"Authorization": f"Bearer {API_KEY}"}
    while True:
        after = f"&starting_after={found[-1]['id']}" if found else ""
        url = f"{topology.sandbox_url}/v1/{what}?limit=100{after}"
        async with http.get(url, headers=headers) as response:
            assert response.status == 200, await response.text()
            page = await response.json()
        found += page["data"]
        if not page["has_more"]:
            return found


@asynccontextmanager
async def database(topology: Topology) -> AsyncIterator[asyncpg.Connection]:
    """Yield a session of the topology's database."""
    connection = await asyncpg.connect(topology.database_url, timeout=10)
    try:
        await connection.set_type_codec(
            "jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog"
        )
        yield connection
    finally:
        await connection.close(timeout=5)


async def _rows(connection: asyncpg.Connection, query: str) -> list[dict[str, Any]]:
    return [dict(row) for row in await connection.fetch(query)]
