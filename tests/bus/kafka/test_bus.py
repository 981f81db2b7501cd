"""The bus on Kafka without a broker; `tests/kafka` tests it with one."""

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.bus.kafka import bus as kafka_bus
from zenskar.bus.kafka.bus import KafkaBus
from zenskar.bus.kafka.options import KafkaOptions
from zenskar.bus.kafka.producer import KafkaRecord
from zenskar.bus.postgres.bus import PostgresBus
from zenskar.bus.postgres.notifier import Notifier
from zenskar.db.outbox import OutboxMessage
from zenskar.errors import Unavailable
from zenskar.model.envelope import OUTBOUND, Envelope


def message(number: int) -> OutboxMessage:
    envelope = Envelope(str(number), "test", "t", "s", "2026-01-01T00:00:00Z", {}, "c")
    return OutboxMessage(OUTBOUND, f"customer:{number}", "fake", envelope)


class Hanging(KafkaBus):
    """A bus whose Kafka takes everything and confirms nothing until it is told to fail."""

    tries = 0

    def hang(self) -> asyncio.Event:
        self._failing = asyncio.Event()
        return self._failing

    async def _send(self, records: Sequence[KafkaRecord]) -> None:
        del records
        self.tries += 1
        await self._failing.wait()
        raise Unavailable("Kafka does not confirm what was sent")


async def test_one_of_many_messages_tries_kafka_after_a_failure(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_bus, "_SPOOL_SECONDS", 0.0)
    outbox = PostgresBus(engine, Notifier(database_url), poll_seconds=0.2, lease_seconds=60)
    bus = Hanging(KafkaOptions("127.0.0.1:1"), outbox, engine, poll_seconds=0.2)
    bus.hang().set()
    await bus.publish([message(0)])
    assert bus.tries == 1
    failing = bus.hang()
    probe = asyncio.create_task(bus.publish([message(1)]))
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await asyncio.gather(*(bus.publish([message(n)]) for n in range(2, 12)))
    assert bus.tries == 2
    failing.set()
    await probe
    assert await bus.depth() == {OUTBOUND: 12}
    await outbox.stop()


async def test_a_wake_reaches_the_receivers_of_the_outbox(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = PostgresBus(engine, Notifier(database_url), poll_seconds=0.2, lease_seconds=60)
    woken: list[str] = []
    monkeypatch.setattr(outbox, "wake", woken.append)
    KafkaBus(KafkaOptions("127.0.0.1:1"), outbox, engine, poll_seconds=0.2).wake(OUTBOUND)
    assert woken == [OUTBOUND]
