"""Full disks of the database and of Kafka."""

import asyncio
from contextlib import suppress
from pathlib import Path

import asyncpg

from tests.drill.fault import BEHIND_DATABASE, Fault
from tests.drill.faults.stores import BEHIND_KAFKA, start_broker, start_database
from tests.drill.scene import Scene
from tests.kafka.processes import Process, until
from tests.kafka.rest import database
from tests.support.small_disk import empty, fill

_DATABASE_DISK, _BROKER_DISK = "postgres", "broker-1"
_EDITS = 20
_SECONDS = 60.0


async def fill_database_disk(scene: Scene) -> None:
    """Fill the disk of PostgreSQL while customers change at Stripe."""
    await asyncio.to_thread(fill, _disk(scene, _DATABASE_DISK))
    await scene.customers_at_stripe(_EDITS, "Meanwhile")
    await until(lambda: _logged(scene, "could not extend file"), _SECONDS, "a table without room")


async def free_database_disk(scene: Scene) -> None:
    """Read the cause, free the disk, and restart nothing."""
    found = await scene.command("doctor", codes=(1,))
    assert "no room on its disk" in str(found), found
    _check_answers(scene)
    empty(_disk(scene, _DATABASE_DISK))


async def fill_log_disk(scene: Scene) -> None:
    """Fill the disk until PostgreSQL cannot continue its own log (WAL), and ends."""
    await fill_database_disk(scene)
    with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        async with database(scene.topology) as connection:
            while True:
                await connection.execute("SELECT pg_switch_wal()")
                await connection.execute("SELECT pg_logical_emit_message(true, 'drill', 'x')")
    await until(lambda: _logged(scene, "PANIC"), _SECONDS, "a log without room")
    await until(lambda: _ended(scene.topology.postgres.process), _SECONDS, "the end of PostgreSQL")


async def free_log_disk(scene: Scene) -> None:
    """Free the disk, and start PostgreSQL, as `docker compose up -d zenskar-postgres` does."""
    await scene.command("doctor", codes=(1,))
    _check_answers(scene)
    empty(_disk(scene, _DATABASE_DISK))
    await start_database(scene)


async def fill_broker_disk(scene: Scene) -> None:
    """Fill the disk of the broker while customers change at Stripe: the broker ends."""
    await asyncio.to_thread(fill, _disk(scene, _BROKER_DISK))
    await scene.customers_at_stripe(_EDITS, "Meanwhile")
    await until(lambda: _ended(scene.broker), _SECONDS, "the end of the broker")
    assert "No space left on device" in scene.broker.log.read_text(errors="replace")


async def free_broker_disk(scene: Scene) -> None:
    """Free the disk, and start the broker. The API has accepted every change meanwhile."""
    await scene.command("doctor", codes=(1,))
    answers = scene.clients.answers
    assert answers.keys() == {(201, False)}, answers
    empty(_disk(scene, _BROKER_DISK))
    await start_broker(scene)


def _check_answers(scene: Scene) -> None:
    """Check that each refused request was answered with the time of its repetition."""
    answers = scene.clients.answers
    assert answers.keys() <= {(201, False), (503, True)}, answers
    assert answers[503, True], answers


def _disk(scene: Scene, name: str) -> Path:
    return scene.topology.folder / name


async def _logged(scene: Scene, text: str) -> bool:
    return text in scene.topology.postgres.process.log.read_text(errors="replace")


async def _ended(process: Process) -> bool:
    return not process.alive


FAULTS = (
    Fault(
        "disk of PostgreSQL full",
        fill_database_disk,
        alert="ZenskarDatabaseDown",
        heal=free_database_disk,
        also=BEHIND_DATABASE,
        disk=_DATABASE_DISK,
    ),
    Fault(
        "no room for the log of PostgreSQL",
        fill_log_disk,
        alert="ZenskarDatabaseDown",
        heal=free_log_disk,
        also=BEHIND_DATABASE,
        disk=_DATABASE_DISK,
    ),
    Fault(
        "disk of Kafka full",
        fill_broker_disk,
        alert="ZenskarBusDown",
        heal=free_broker_disk,
        also=BEHIND_KAFKA | {"ZenskarApiErrors", "ZenskarWebhooksUnavailable"},
        disk=_BROKER_DISK,
    ),
)
