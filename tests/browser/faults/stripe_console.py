"""The API with its console on the sandbox of Stripe, as `zenskar api` and a worker serve them."""

import os
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.child_process import child_process
from tests.support.flow import Flow, running_worker
from zenskar.api.server import serve
from zenskar.plugins.discovery import discover
from zenskar.runtime import open_runtime
from zenskar.settings import load
from zenskar_stripe.sandbox import StripeSandbox

SECRET = "whsec_of_the_console"


def environment_of(sandbox: StripeSandbox, **changed: str) -> dict[str, str]:
    """Return the settings of a connection to a sandbox."""
    right = {
        "STRIPE_API_KEY": sandbox.api_key,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_API_BASE": sandbox.base_url,
    }
    return right | changed


@dataclass
class StripeConsole:
    """A running console, and the flow behind it without fake systems."""

    address: str
    flow: Flow


@asynccontextmanager
async def open_stripe(
    database_url: str, environment: Mapping[str, str], *roles: str, **settings: object
) -> AsyncIterator[StripeConsole]:
    """Serve the API with the console, beside a worker with these roles, or with all."""
    defaults = {
        "database_url": database_url,
        "auth": "off",
        "retry_base_seconds": 0.01,
        "retry_max_seconds": 0.05,
        "poll_seconds": 0.2,
        "probe_seconds": 0.2,
    }
    loaded = load({}, **(defaults | settings))
    plugins = {"stripe": discover()["stripe"]}
    async with (
        open_runtime(loaded, environment, plugins=plugins) as runtime,
        running_worker(runtime, *roles),
        serve(runtime.api(), "127.0.0.1", 0, loaded) as address,
    ):
        yield StripeConsole(address, Flow(runtime, {}))


@asynccontextmanager
async def worker_process(
    database_url: str, environment: Mapping[str, str]
) -> AsyncIterator[Process]:
    """Start a worker as a process of its own."""
    variables = {
        **os.environ,
        **environment,
        "ZENSKAR_DATABASE_URL": database_url,
        "ZENSKAR_WORKER_HEALTH_PORT": "0",
    }
    program = Path(sys.executable).with_name("zenskar")
    async with child_process(
        program, "worker", env=variables, stdout=DEVNULL, stderr=DEVNULL
    ) as process:
        yield process
