"""A process that kills itself with SIGKILL: python -m tests.crash.victim api|worker|ROLE POINT.

With `link POINT SOURCE EXTERNAL RECORD`, it links an object beside a worker.
"""

import asyncio
import os
import signal
import sys
from dataclasses import replace

from zenskar.api.server import serve
from zenskar.catalog.service import CustomerService
from zenskar.model.actor import Actor
from zenskar.runtime import Runtime, open_runtime
from zenskar.settings import load
from zenskar.sync.ingest.receiver import WebhookReceiver
from zenskar.worker.service import ROLES

COMMITTED = "customer.committed"


async def main(role: str, fatal: str, *arguments: str) -> None:
    """Run until the failpoint is passed, or until SIGTERM."""
    environment = dict(os.environ)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)

    async def no_failpoint(point: str) -> None:
        die_at(point)

    def die_at(point: str) -> None:
        if point == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def wake(topic: str) -> None:
        die_at(COMMITTED)
        runtime.bus.wake(topic)

    async with open_runtime(load(environment), environment) as runtime:
        context = replace(runtime.context, failpoint=no_failpoint)
        fragile = replace(
            runtime,
            context=context,
            customers=CustomerService(runtime.engine, runtime.router, wake),
            ingress=WebhookReceiver(context, runtime.bus, runtime.schemas["event"]),
        )
        if role == "link":
            await _link(fragile, stopping, *arguments)
            return
        roles = ROLES if role == "worker" else (role,)
        await (_serve(fragile, stopping) if role == "api" else fragile.worker(roles).run(stopping))


async def _serve(runtime: Runtime, stopping: asyncio.Event) -> None:
    async with serve(runtime.api(), "127.0.0.1", 0, runtime.settings) as address:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        await stopping.wait()


async def _link(
    runtime: Runtime, stopping: asyncio.Event, source: str, external_id: str, record_id: str
) -> None:
    worker = asyncio.create_task(runtime.worker(("inbound", "outbound")).run(stopping))
    linker = runtime.operations().object_linker()
    await linker.link(source, "customer", external_id, record_id, Actor("ada", "a test"))
    stopping.set()
    await worker


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
