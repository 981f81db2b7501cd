"""The loss of the database, and its restore from a backup."""

import asyncio
import subprocess
from datetime import UTC, datetime

import aiohttp

from tests.drill.fault import BEHIND_DATABASE, Fault
from tests.drill.scene import Scene
from tests.kafka.postgres import binaries
from tests.kafka.processes import until
from tests.kafka.rest import rest

_MORE, _THERE = 10, 4
_WAIT_SECONDS = 120.0


async def lose_database(scene: Scene) -> None:
    """Lose the database some time after its backup.

    A change that no external system received before the loss is in no backup, so all are pushed.
    """
    clients = scene.clients
    await _grown(scene, 1)
    await _run("pg_dump", "-Fc", "-f", _dump(scene), scene.topology.database_url)
    scene.backed_up = datetime.now(UTC)
    first, *_ = clients.made
    await _delete(scene, first)
    for each in await scene.customers_at_stripe(_THERE, "Since"):
        await scene.at_stripe("POST", f"customers/{each}", {"name": "Edited since"})
    await _grown(scene, len(clients.made) + _MORE)
    clients.stop()
    await rest(scene.topology, _WAIT_SECONDS)
    await scene.topology.postgres.lose()


async def restore(scene: Scene) -> None:
    """Restore the backup, repeat the deletes since, and repair by the state of Stripe."""
    assert scene.backed_up is not None
    await scene.stop()
    await scene.topology.postgres.start()
    url = scene.topology.database_url
    await _run("pg_restore", "--clean", "--if-exists", "-d", url, _dump(scene))
    await scene.command("migrate")
    await scene.command("recover", "--since", scene.backed_up.isoformat(), "--apply")
    await scene.command("reconcile", "stripe", "--repair", codes=(0, 3))
    compared = await scene.command("reconcile", "stripe")
    assert compared["data"][0]["found"] == {}, compared
    await scene.start()


async def _grown(scene: Scene, count: int) -> None:
    """Wait until the clients have created so many customers."""

    async def are_made() -> bool:
        return len(scene.clients.made) >= count

    await until(are_made, _WAIT_SECONDS, f"{count} customers")


async def _delete(scene: Scene, record_id: str) -> None:
    url = f"{scene.topology.api_url}/customers/{record_id}"
    async with aiohttp.ClientSession() as http, http.delete(url) as response:
        assert response.status == 204, await response.text()
    scene.clients.deleted.append(record_id)


async def _run(program: str, *arguments: str) -> None:
    command = (str(binaries() / program), *arguments)
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def _dump(scene: Scene) -> str:
    return str(scene.topology.folder / "backup.dump")


FAULTS = (
    Fault(
        "database lost",
        lose_database,
        alert="ZenskarDatabaseDown",
        heal=restore,
        also=BEHIND_DATABASE | {"ZenskarMessagesLost", "ZenskarDrift"},
        forgets=True,
    ),
)
