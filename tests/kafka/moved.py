"""The work of the relay: every row of the outbox is recorded, and compared with Kafka."""

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.kafka.rest import database
from tests.kafka.topics import admin
from tests.kafka.topology import Topology
from zenskar.model.envelope import INBOUND, OUTBOUND

_READ_SECONDS = 60.0
_NOTE = """
    CREATE TABLE noted AS
        SELECT id, topic, key, envelope, available_at > now() AS late FROM outbox WHERE false;
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO noted VALUES
            (NEW.id, NEW.topic, NEW.key, NEW.envelope, NEW.available_at > now());
        RETURN NULL;
    END $$;
    CREATE TRIGGER note AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION note();
"""
_AGAIN = """
    SELECT count(*) FROM (
        SELECT event_id FROM sync_event_history WHERE status IN ('succeeded', 'ignored')
        GROUP BY event_id HAVING count(*) > 1) AS twice
"""


@dataclass(frozen=True)
class Row:
    """A row of the outbox; a late row is due after a while, and overtaken meanwhile."""

    id: int
    topic: str
    key: str
    text: str
    late: bool


@dataclass(frozen=True)
class Moved:
    """The rows of the outbox, and the messages of Kafka in the order of each key."""

    rows: list[Row]
    messages: dict[tuple[str, str], list[str]]
    applied_twice: int

    @property
    def missing(self) -> list[int]:
        """Rows that are not in Kafka as often as they were in the outbox."""
        there = Counter(
            (topic, key, text) for (topic, key), texts in self.messages.items() for text in texts
        )
        here = Counter((row.topic, row.key, row.text) for row in self.rows)
        short = {which for which, count in here.items() if there[which] < count}
        return [row.id for row in self.rows if (row.topic, row.key, row.text) in short]

    @property
    def repeated(self) -> int:
        """The number of duplicates on the topic that only the relay writes."""
        sent = sum(len(texts) for (topic, _), texts in self.messages.items() if topic == OUTBOUND)
        return sent - sum(row.topic == OUTBOUND for row in self.rows)

    @property
    def disordered(self) -> list[tuple[str, str]]:
        """Keys with messages in the wrong order."""
        # A message that a worker returned has a further row, maybe without a delay.
        rows = Counter(row.text for row in self.rows)
        late = {row.text for row in self.rows if row.late or rows[row.text] > 1}
        places: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        for row in sorted(self.rows, key=lambda row: row.id):
            places[row.topic, row.key].setdefault(row.text, row.id)
        came = {
            which: [
                known[text] for text in self.messages.get(which, ()) if text in known.keys() - late
            ]
            for which, known in places.items()
        }
        return [which for which, ids in came.items() if ids != sorted(ids)]


async def note_rows(topology: Topology) -> None:
    """Record every row that is written to the outbox from now on."""
    async with database(topology) as connection:
        await connection.execute(_NOTE)


async def read_moved(topology: Topology) -> Moved:
    """Read the recorded rows and the messages of Kafka."""
    assert topology.cluster is not None
    async with database(topology) as connection:
        found = await connection.fetch("SELECT id, topic, key, envelope, late FROM noted")
        twice = await connection.fetchval(_AGAIN)
    return Moved([Row(*row) for row in found], await _read(topology.cluster.bootstrap), twice)


async def _read(bootstrap: str) -> dict[tuple[str, str], list[str]]:
    """Return all messages of the topics."""
    messages: dict[tuple[str, str], list[str]] = defaultdict(list)
    async with admin(bootstrap) as client:
        described = await client.describe_topics([OUTBOUND, INBOUND])
    places = [
        TopicPartition(topic["topic"], part["partition"])
        for topic in described
        for part in topic["partitions"]
    ]
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    async with consumer, asyncio.timeout(_READ_SECONDS):
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        await consumer.seek_to_beginning()
        while any([await consumer.position(place) < ends[place] for place in places]):
            for place, batch in (await consumer.getmany(timeout_ms=500)).items():
                for message in batch:
                    key = message.key.decode()
                    messages[place.topic, key].append(message.value.decode())
    return messages
