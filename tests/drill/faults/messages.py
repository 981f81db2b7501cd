"""Faults of single messages and pushes."""

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.drill.fault import Fault
from tests.drill.scene import Scene
from zenskar.model.envelope import INBOUND, OUTBOUND

_POISON = (b"no JSON", b"{}", b'{"specversion": "1.0"}', b"")


async def poison(scene: Scene) -> None:
    """Write messages that nobody can read to both topics."""
    async with AIOKafkaProducer(bootstrap_servers=scene.cluster.bootstrap) as producer:
        for topic in (INBOUND, OUTBOUND):
            for value in _POISON:
                await producer.send_and_wait(topic, value, key=b"poison")


async def misdirect(scene: Scene) -> None:
    """Write an outbound message to the inbound topic, where its direction is wrong."""
    bootstrap = scene.cluster.bootstrap
    consumer = AIOKafkaConsumer(OUTBOUND, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    async with consumer, AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        found = await consumer.getone()
        await producer.send_and_wait(INBOUND, found.value, key=b"misdirected")


async def discard_letters(scene: Scene) -> None:
    """Look at the dead letters, and discard them."""
    await scene.command("dlq", "list")
    await scene.command("dlq", "discard", "--all")


FAULTS = (
    Fault("poison messages", poison, alert="ZenskarDeadLetters", heal=discard_letters),
    Fault("misdirected message", misdirect, alert="ZenskarDeadLetters", heal=discard_letters),
)
