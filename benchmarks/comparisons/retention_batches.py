"""The batches in which the retention deletes history, from a table of years."""

import statistics
import time
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.bench import Bench, Comparison, spread
from benchmarks.large_database import Size, fill, progress, require_room
from benchmarks.product import open_product
from zenskar.db import expired_rows
from zenskar.db.driver.engine import create_engine, in_transaction

TITLE = "Retention: batches of 1,000 events with 10,000 entries, of 100,000,000 entries"
LONG = True
_ENTRIES, _BATCHES = 10, 20


async def run(bench: Bench) -> Comparison:
    """Fill a database, then delete some batches of its history in each round."""
    full = Size()
    size = Size(bench.count(full.customers), bench.count(full.events), entries=_ENTRIES)
    require_room(bench.folder, size)
    postgres = await bench.postgres()
    database = await postgres.new_database()
    report = progress(time.monotonic())
    async with open_product(bench.folder, database, api=False, workers=0):
        await fill(database, size, report)
    rounds = []
    for number in range(1, bench.rounds + 1):
        rounds.append(await _delete(database))
        report(f"round {number} of {bench.rounds}")
    notes = f"{size.events * _ENTRIES:,} entries of history; milliseconds a batch"
    return Comparison(None, spread(rounds), notes=notes)


async def _delete(database: str) -> dict[str, float]:
    """Return the milliseconds of the batches of a round."""
    engine = create_engine(database, pool_size=1)
    found: list[float] = []
    after = expired_rows.FIRST
    for _ in range(_BATCHES):
        started = time.perf_counter()
        after = (await _forget(engine, after)).last or after
        found.append((time.perf_counter() - started) * 1000)
    await engine.dispose()
    return {"batch": statistics.median(found), "slowest": max(found)}


async def _forget(engine: AsyncEngine, after: str) -> expired_rows.Piece:
    """Delete the next batch, as the scheduler does."""
    now = datetime.now(UTC)
    return await in_transaction(engine, lambda c: expired_rows.forget(c, "history", now, after))
