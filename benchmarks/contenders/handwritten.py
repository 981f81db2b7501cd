"""The limit: aiokafka's getmany and set-based SQL: handwritten.py BOOTSTRAP DATABASE_URL TOPIC."""

import asyncio
import sys

import asyncpg
import orjson
import sql
import uvloop
from aiokafka import AIOKafkaConsumer


async def main() -> None:
    """Consume until killed."""
    bootstrap, database, topic = sys.argv[1:4]
    connection = await asyncpg.connect(database)
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id="handwritten",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    print("ready", flush=True)
    while True:
        batches = await consumer.getmany(timeout_ms=200, max_records=500)
        records = [record for batch in batches.values() for record in batch]
        if records:
            messages = [(orjson.loads(record.value), record.value.decode()) for record in records]
            await sql.apply(connection, messages, lambda value: orjson.dumps(value).decode())
            await consumer.commit()


uvloop.run(main()) if sys.platform != "win32" else asyncio.run(main())
