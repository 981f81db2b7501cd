"""Faults of the database and of Kafka."""

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from tests.drill.fault import BEHIND_DATABASE, Fault
from tests.drill.scene import Scene
from tests.kafka.rest import database


async def kill_broker(scene: Scene) -> None:
    """Kill the broker."""
    await scene.broker.kill()


async def start_broker(scene: Scene) -> None:
    """Start the broker, as `docker compose up -d zenskar-kafka` does."""
    await scene.cluster.start_broker()


async def start_database(scene: Scene) -> None:
    """Start PostgreSQL, as `docker compose up -d zenskar-postgres` does."""
    await scene.topology.postgres.start()


async def stop_database(scene: Scene) -> None:
    """Stop PostgreSQL."""
    await scene.topology.postgres.stop()


async def restart_database(scene: Scene) -> None:
    """Restart PostgreSQL, as an update of its machine does."""
    await scene.topology.postgres.stop()
    await scene.topology.postgres.start()


async def refuse_writes(scene: Scene) -> None:
    """Set PostgreSQL to read-only: it refuses every write, as with a full disk."""
    await _configure(scene, "ALTER SYSTEM SET default_transaction_read_only = on")


async def accept_writes(scene: Scene) -> None:
    """End the read-only mode of PostgreSQL."""
    await scene.command("doctor", codes=(1,))
    await _configure(scene, "ALTER SYSTEM RESET default_transaction_read_only")


async def _configure(scene: Scene, statement: str) -> None:
    async with database(scene.topology) as connection:
        await connection.execute(statement)
        await connection.execute("SELECT pg_reload_conf()")


async def stop_database_of_webhooks(scene: Scene) -> None:
    """Stop PostgreSQL while customers change at Stripe."""
    await scene.topology.postgres.stop()
    await scene.customers_at_stripe(_EDITS, "Meanwhile")


async def freeze_database(scene: Scene) -> None:
    """Freeze every process of PostgreSQL, as a hanging disk does."""
    _signal(scene, signal.SIGSTOP)


async def thaw_database(scene: Scene) -> None:
    """Continue the processes of PostgreSQL."""
    _signal(scene, signal.SIGCONT)


def _signal(scene: Scene, number: signal.Signals) -> None:
    pid = scene.topology.postgres.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in (pid, *map(int, children)):
        with suppress(ProcessLookupError):
            os.kill(each, number)


async def lose_disk(scene: Scene) -> None:
    """Lose the disk of the broker, with the messages on it."""
    await scene.broker.kill()
    shutil.rmtree(scene.topology.folder / "broker-1")
    await scene.cluster.start_broker()
    await scene.cluster.ready()


_EDITS = 20
BEHIND_KAFKA = frozenset({"ZenskarOutboxOld", "ZenskarConsumerStuck", "ZenskarOutboundSlow"})
"""The alerts of parts that the fault takes with it."""

FAULTS = (
    Fault(
        "Kafka killed",
        kill_broker,
        alert="ZenskarBusDown",
        heal=start_broker,
        also=BEHIND_KAFKA,
    ),
    Fault(
        "PostgreSQL stopped",
        stop_database,
        alert="ZenskarDatabaseDown",
        heal=start_database,
        also=BEHIND_DATABASE,
    ),
    Fault("PostgreSQL restarted", restart_database),
    Fault(
        "PostgreSQL refuses writes",
        refuse_writes,
        alert="ZenskarDatabaseDown",
        heal=accept_writes,
        also=BEHIND_DATABASE,
    ),
    Fault(
        "PostgreSQL stopped under webhooks",
        stop_database_of_webhooks,
        alert="ZenskarDatabaseDown",
        heal=start_database,
        also=BEHIND_DATABASE,
    ),
    Fault(
        "PostgreSQL frozen",
        freeze_database,
        alert="ZenskarDatabaseDown",
        end=thaw_database,
        also=BEHIND_DATABASE,
    ),
    Fault(
        "Kafka loses its disk",
        lose_disk,
        alert="ZenskarMessagesLost",
        within_seconds=150,
        also=BEHIND_KAFKA | {"ZenskarBusDown"},
    ),
)
