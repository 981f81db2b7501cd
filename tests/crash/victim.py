"""A process that kills itself with SIGKILL: python -m tests.crash.victim api|worker|ROLE POINT."""

import asyncio
import os
import signal
import sys
from dataclasses import replace

from zenskar.api.server import serve
from zenskar.catalog.service import CustomerService
from zenskar.runtime import Runtime, open_runtime
from zenskar.settings import load
from zenskar.sync.ingest.receiver import WebhookReceiver
from zenskar.worker.service import ROLES

COMMITTED = "customer.committed"


async def main(role: str, fatal: str) -> None:
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
        roles = ROLES if role == "worker" else (role,)
        await (_serve(fragile, stopping) if role == "api" else fragile.worker(roles).run(stopping))


async def _serve(runtime: Runtime, stopping: asyncio.Event) -> None:
    async with serve(runtime.api(), "127.0.0.1", 0, runtime.settings) as address:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        await stopping.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
