"""A worker that kills itself with SIGKILL: python -m tests.crash.victim POINT."""

import asyncio
import os
import signal
import sys
from dataclasses import replace

from zenskar.runtime import open_runtime
from zenskar.settings import load


async def main(fatal: str) -> None:
    """Work until the point is passed, or until SIGTERM."""
    environment = dict(os.environ)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)

    async def pass_by(point: str) -> None:
        if point == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    async with open_runtime(load(environment), environment) as runtime:
        context = replace(runtime.context, passing=pass_by)
        await replace(runtime, context=context).worker().run(stopping)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
