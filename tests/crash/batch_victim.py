"""A worker of the CRM that takes many changes in one call: python -m tests.crash.batch_victim."""

import asyncio
import os

from tests.e2e.crm_variants import BulkIntegration
from zenskar.plugins.discovery import Plugin
from zenskar.runtime import open_runtime
from zenskar.settings import load

PLUGINS = {"crm": Plugin("crm", "test-crm", "1", BulkIntegration)}


async def main() -> None:
    """Work until the process is killed."""
    environment = dict(os.environ)
    async with open_runtime(load(environment), environment, plugins=PLUGINS) as runtime:
        await runtime.worker().run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main())
