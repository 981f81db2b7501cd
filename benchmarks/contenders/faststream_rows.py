"""FastStream, one row per message: faststream_rows.py BOOTSTRAP DATABASE_URL TOPIC."""

import asyncio
import sys

import asyncpg
import orjson
import sql
import uvloop
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaMessage

bootstrap, database, topic = sys.argv[1:4]
broker = KafkaBroker(bootstrap, logger=None)
app = FastStream(broker, logger=None)
connections: list[asyncpg.Connection] = []


@broker.subscriber(
    topic, group_id="faststream", auto_offset_reset="earliest", ack_policy=AckPolicy.NACK_ON_ERROR
)
async def handle(_body: dict, message: KafkaMessage) -> None:  # type: ignore[type-arg]
    """Write one message."""
    text = message.body.decode()
    await sql.apply(
        connections[0], [(orjson.loads(text), text)], lambda value: orjson.dumps(value).decode()
    )


@app.after_startup
async def ready() -> None:
    """Print that messages are received."""
    print("ready", flush=True)


@app.on_startup
async def connect() -> None:
    """Connect before the first message."""
    connections.append(await asyncpg.connect(database))


uvloop.run(app.run()) if sys.platform != "win32" else asyncio.run(app.run())
