"""Run the sandbox for `zenskar dev`."""

import errno
import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from zenskar import SandboxInfo
from zenskar_salesforce.sandbox import ConnectedApp, SalesforceSandbox, settings_of

_CREDENTIALS = "salesforce_sandbox_credentials.json"
_STORE = "salesforce_sandbox.db"
_PORT = 8020
_FIRST_STEP = (
    "curl -sS {url}/_sandbox/contacts -H 'content-type: application/json' "
    """-d '{{"LastName": "Hopper", "FirstName": "Grace", "Email": "grace@example.com"}}'"""
)


@asynccontextmanager
async def run_sandbox(data_dir: Path) -> AsyncIterator[SandboxInfo]:
    """Run a sandbox that keeps its data in `data_dir`."""
    sandbox = await _started(_app(data_dir), data_dir / _STORE)
    try:
        url = sandbox.base_url
        yield SandboxInfo(url, settings_of(sandbox), _FIRST_STEP.format(url=url))
    finally:
        await sandbox.stop()


async def _started(app: ConnectedApp, store: Path) -> SalesforceSandbox:
    """Start on the port of the last run, or on a free port when another process uses that port."""
    sandbox = SalesforceSandbox(app=app, store_path=store, port=_PORT)
    try:
        await sandbox.start()
    except OSError as error:
        await sandbox.stop()
        if error.errno != errno.EADDRINUSE:
            raise
        sandbox = SalesforceSandbox(app=app, store_path=store)
        await sandbox.start()
    return sandbox


def _app(data_dir: Path) -> ConnectedApp:
    """Return the app with the stored credentials, in a file of the owner only."""
    path = data_dir / _CREDENTIALS
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        made = {"client_id": secrets.token_urlsafe(12), "client_secret": secrets.token_urlsafe(24)}
        _write_private(path, json.dumps(made))
    return ConnectedApp(**json.loads(path.read_text()))


def _write_private(path: Path, text: str) -> None:
    unfinished = path.with_suffix(".tmp")
    unfinished.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(unfinished, flags, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)
