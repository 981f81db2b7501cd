"""A database that was restored from a backup becomes equal, by the documented commands."""

import asyncio
import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.cli.processes import ZENSKAR
from tests.e2e.stack import API_KEY, SECRET, open_stack
from tests.kafka.postgres import Server, binaries, open_server
from tests.kafka.topics import delete_topics
from zenskar.ids import new_id
from zenskar_stripe.sandbox import StripeSandbox


class Database:
    """A database that can be dumped and restored."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.url = server.url
        self._dump = folder / "backup.dump"

    def back_up(self) -> None:
        self._run("pg_dump", "-Fc", "-f", str(self._dump), self.url)

    def restore(self) -> None:
        self._run("pg_restore", "--clean", "--if-exists", "-d", self.url, str(self._dump))

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run((binaries() / program, *arguments), check=True, capture_output=True)


def settings(kafka: str, url: str, stripe: StripeSandbox) -> dict[str, str]:
    return {
        "ZENSKAR_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "ZENSKAR_KAFKA_PARTITIONS": "4",
        "ZENSKAR_DATABASE_URL": url,
        "STRIPE_API_BASE": stripe.base_url,
        "STRIPE_API_KEY": API_KEY,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_RATE_LIMIT": "0",
        "ZENSKAR_CONNECTIONS": "stripe",
    }


async def command(variables: dict[str, str], *arguments: str, codes: tuple[int, ...] = (0,)) -> Any:
    """Run a command as an operator does, and return its JSON output."""
    done = await asyncio.to_thread(
        subprocess.run,
        (*ZENSKAR, *arguments, "--output", "json"),
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in codes, done.stderr
    return json.loads(done.stdout)


async def test_the_documented_commands_converge(kafka: str, home: Path) -> None:
    await delete_topics(kafka)
    group = {"ZENSKAR_KAFKA_GROUP": new_id()}
    async with open_server(home) as server, StripeSandbox(api_key=API_KEY) as stripe:
        database = Database(server, home)
        variables = settings(kafka, server.url, stripe) | group
        await command(variables, "migrate")
        async with open_stack(server.url, stripe.base_url, variables) as stack:
            endpoint = stripe.add_webhook_endpoint(stack.webhook_url, SECRET)
            before = [await stack.create(name=f"Old {n}") for n in range(4)]
            await stack.settled()
            await stripe.settle()
            await stack.settled()
            objects = {r["id"]: await stack.external_id(r["id"]) for r in before}
        await asyncio.to_thread(database.back_up)
        backed_up = datetime.now(UTC)
        async with open_stack(server.url, stripe.base_url, variables) as stack:
            stripe.remove_webhook_endpoint(endpoint.id)
            endpoint = stripe.add_webhook_endpoint(stack.webhook_url, SECRET)
            edited_here, edited_there, deleted_here, deleted_there = (r["id"] for r in before)
            made = await stack.create(name="Made since")
            await stack.ask("PATCH", f"/customers/{edited_here}", {"name": "Edited here"})
            await stack.ask("DELETE", f"/customers/{deleted_here}", status=204)
            stripe.dashboard.update(objects[edited_there], {"name": "Edited there"})
            stripe.dashboard.delete(objects[deleted_there])
            stripe.dashboard.create({"name": "Made there", "email": "there@example.com"})
            await stack.field(edited_there, "name", "Edited there")
            await stack.gone(deleted_there)
            there = await stack.named("there@example.com")
            await stack.settled()
        stripe.remove_webhook_endpoint(endpoint.id)
        await asyncio.to_thread(database.restore)

        told = await command(variables, "recover", "--since", backed_up.isoformat())
        assert [delete["record_id"] for delete in told["deleted_since"]] == [deleted_here]
        await command(variables, "recover", "--since", backed_up.isoformat(), "--apply")
        await command(variables, "reconcile", "stripe", "--repair", codes=(0, 3))
        compared = await command(variables, "reconcile", "stripe")

        async with open_stack(server.url, stripe.base_url, variables) as stack:
            await stack.settled()
            for record_id, name in (
                (edited_here, "Edited here"),
                (edited_there, "Edited there"),
                (made["id"], "Made since"),
            ):
                assert (await stack.customer(record_id))["name"] == name
            assert (await stack.named("there@example.com"))["name"] == there["name"]
            await stack.gone(deleted_here)
            await stack.gone(deleted_there)
            since = backed_up.isoformat().replace("+00:00", "Z")
            told = await stack.ask("GET", f"/recovery?since={since}")
            assert (told["deletes_known"], told["deleted_since"]) == (True, [])
        assert len(stripe.dashboard.living()) == 5
        assert compared["data"][0]["found"] == {}
