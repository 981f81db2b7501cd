"""Run the sandbox for `zenskar dev`."""

import errno
import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from zenskar import SandboxInfo
from zenskar_stripe.sandbox import StripeSandbox

_CREDENTIALS = "stripe_sandbox_credentials.json"
_STORE = "stripe_sandbox.db"
_PORT = 8010
_FIRST_STEP = (
    "curl -sS {url}/_sandbox/customers -H 'content-type: application/json' "
    """-d '{{"name": "Grace Hopper", "email": "grace@example.com"}}'"""
)


@asynccontextmanager
async def run_sandbox(data_dir: Path, webhook_url: str) -> AsyncIterator[SandboxInfo]:
    """Run a sandbox that keeps its data in `data_dir` and sends its events to `webhook_url`."""
    settings = credentials(data_dir)
    async with _started(settings["api_key"], data_dir / _STORE) as sandbox:
        for endpoint in sandbox.webhook_endpoints():
            if endpoint.url != webhook_url:
                sandbox.remove_webhook_endpoint(endpoint.id)
        sandbox.add_webhook_endpoint(webhook_url, settings["webhook_secret"])
        url = sandbox.base_url
        yield SandboxInfo(url, {**settings, "api_base": url}, _FIRST_STEP.format(url=url))


@asynccontextmanager
async def _started(api_key: str, store: Path) -> AsyncIterator[StripeSandbox]:
    """Start on the port of the last run, or on a free port when another process uses that port."""
    seed = secrets.randbits(32)
    sandbox = StripeSandbox(api_key=api_key, store_path=store, port=_PORT, seed=seed)
    try:
        await sandbox.start()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sandbox = StripeSandbox(api_key=api_key, store_path=store, seed=seed)
        await sandbox.start()
    try:
        yield sandbox
    finally:
        await sandbox.stop()


def credentials(data_dir: Path) -> dict[str, str]:
    """Return the sandbox's API key and webhook secret, stored in a file of the owner only."""
    path = data_dir / _CREDENTIALS
    if path.exists():
        kept: dict[str, str] = json.loads(path.read_text())
        return kept
    made = {
        "api_key": f"sk_test_{secrets.token_urlsafe(24)}",
        "webhook_secret": f"whsec_{secrets.token_urlsafe(24)}",
    }
    data_dir.mkdir(parents=True, exist_ok=True)
    _write_private(path, json.dumps(made))
    return made


def _write_private(path: Path, text: str) -> None:
    unfinished = path.with_suffix(".tmp")
    unfinished.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(unfinished, flags, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)
