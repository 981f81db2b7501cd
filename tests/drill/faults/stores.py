"""Faults of the database and of Kafka."""

from tests.drill.fault import Fault
from tests.drill.scene import Scene

_BEHIND_KAFKA = frozenset({"ZenskarOutboxOld", "ZenskarConsumerStuck", "ZenskarOutboundSlow"})
"""The alerts of parts that the fault takes with it."""


async def kill_broker(scene: Scene) -> None:
    """Kill the broker."""
    await scene.broker.kill()


async def start_broker(scene: Scene) -> None:
    """Start the broker, as `docker compose up -d zenskar-kafka` does."""
    await scene.cluster.start_broker()


FAULTS = (
    Fault(
        "Kafka killed",
        kill_broker,
        alert="ZenskarBusDown",
        heal=start_broker,
        also=_BEHIND_KAFKA,
    ),
)
