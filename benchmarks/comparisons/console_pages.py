"""The pages of the console and the lists of the API on a large database."""

import statistics
import time
from collections.abc import Mapping

import asyncpg
from aiohttp import ClientSession, ClientTimeout

from benchmarks.bench import Bench, Comparison, Target
from benchmarks.large_database import Size, fill, progress, require_room
from benchmarks.product import open_product

TITLE = "Pages and lists: 1,000,000 customers, 10,000,000 sync events"
LONG = True
SETTINGS = {
    "ZENSKAR_CONNECTIONS": "first=stripe,second=stripe",
    **{
        f"{name}_{setting}": value
        for name in ("FIRST", "SECOND")
        for setting, value in (
            ("API_KEY", "sk_test_1"),
            ("WEBHOOK_SECRET", "whsec_1"),
            ("API_BASE", "http://127.0.0.1:9"),
        )
    },
}
_ANSWER_SECONDS, _MOST_MS = 60.0, 300.0
_EXAMPLES = """
    SELECT (SELECT id FROM customers ORDER BY id LIMIT 1) AS hot,
           (SELECT id FROM customers ORDER BY id DESC LIMIT 1) AS cold,
           (SELECT id FROM sync_events ORDER BY id DESC LIMIT 1) AS event,
           (SELECT correlation_id FROM sync_events ORDER BY id LIMIT 1) AS correlation,
           (SELECT id FROM operator_runs ORDER BY id DESC LIMIT 1) AS run,
           (SELECT external_id FROM external_mappings LIMIT 1) AS external,
           (SELECT email FROM customers ORDER BY id DESC LIMIT 1) AS email,
           (SELECT min(id) FROM outbox) AS message
"""


async def run(bench: Bench) -> Comparison:
    """Fill a database, then read every page and list in each round."""
    full = Size()
    size = Size(bench.count(full.customers), bench.count(full.events))
    require_room(bench.folder, size)
    postgres = await bench.postgres()
    database = await postgres.new_database()
    async with open_product(bench.folder, database, workers=0, **SETTINGS) as product:
        await fill(database, size, progress(time.monotonic()))
        found = await measure(product.port, database, bench.rounds)
    slowest = max(each["median"] for each in found.values())
    target = Target("median of the slowest in ms", _MOST_MS, slowest, at_most=True)
    notes = f"{size.customers:,} customers, {size.events:,} sync events; milliseconds"
    return Comparison(None, found, targets=(target,), notes=notes)


async def measure(port: int, database: str, rounds: int) -> dict[str, dict[str, float]]:
    """Return the milliseconds of each page and list; the first round does not count."""
    found: dict[str, list[float]] = {}
    pages = await addresses(database)
    timeout = ClientTimeout(_ANSWER_SECONDS)
    async with ClientSession(f"http://127.0.0.1:{port}", timeout=timeout) as client:
        for number in range(rounds + 1):
            for name, address in pages.items():
                started = time.perf_counter()
                async with client.get(address) as response:
                    await response.read()
                    assert response.status == 200, (address, response.status)
                if number:
                    found.setdefault(name, []).append((time.perf_counter() - started) * 1000)
    return {
        name: {
            "min": round(min(times), 1),
            "median": round(statistics.median(times), 1),
            "max": round(max(times), 1),
        }
        for name, times in found.items()
    }


async def addresses(database: str) -> Mapping[str, str]:
    """Return the address of each page and list by a short name."""
    connection = await asyncpg.connect(database)
    one = await connection.fetchrow(_EXAMPLES)
    await connection.close()
    console = {
        "overview": "",
        "connections": "/connections",
        "connection": "/connections/second",
        "events": "/events",
        "events failed": "/events?status=dead",
        "events waiting": "/events?status=pending&source=second",
        "events of none": "/events?reason=none",
        "events of record": f"/events?record={one['hot']}",
        "events of object": f"/events?external_id={one['external']}",
        "event": f"/events/{one['event']}",
        "dead letters": "/dead-letters",
        "dead letters found": "/dead-letters?error_kind=rejected&source=first",
        "held deletes": "/held-deletes",
        "records": "/records",
        "records by object": f"/records?q={one['external']}",
        "records by email": f"/records?q={one['email']}",
        "records of none": "/records?q=nobody@example.org",
        "record hot": f"/records/customer/{one['hot']}",
        "record cold": f"/records/customer/{one['cold']}",
        "runs": "/runs",
        "runs failed": "/runs?state=failed",
        "run": f"/runs/{one['run']}",
        "bus": "/bus",
        "message": f"/bus/messages/outbox/{one['message']}",
        "recovery": "/recovery",
        "recovery of a time": "/recovery?since=2020-01-01T00:00:00Z",
        "system": "/system",
        "doctor": "/system/doctor",
        "audit": "/audit",
        "audit of a time": "/audit?since=2020-01-01T00:00&until=2020-02-01T00:00",
        "audit failed": "/audit?state=failed",
        "audit of target": "/audit?action=retry&target=none",
    }
    api = {
        "customers": "/customers",
        "customers by email": f"/customers?email={one['email']}",
        "customer": f"/customers/{one['hot']}",
        "sync events": "/sync-events",
        "sync events old": f"/sync-events?correlation_id={one['correlation']}",
        "sync events ignored": "/sync-events?status=ignored&source=second",
        "sync event": f"/sync-events/{one['event']}",
        "dead letters": "/dead-letters?error_kind=rejected&limit=200",
        "dead letter groups": "/dead-letters/groups",
        "connections": "/connections",
        "held deletes": "/connections/second/held-deletes",
        "runs": "/runs",
        "audit": "/audit",
        "plugins": "/plugins",
        "migrations": "/migrations",
        "doctor": "/doctor",
        "metrics": "/metrics",
        "health": "/health/ready",
    }
    return {
        **{f"console {name}": f"/console{path}" for name, path in console.items()},
        **{f"api {name}": path for name, path in api.items()},
    }
