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
async def run_sandbox(data_dir: Path, webhook_url: str) -> AsyncIterator[SandboxInfo]:
    """Run a sandbox that keeps its data in `data_dir` and sends its messages to `webhook_url`."""
    kept = _credentials(data_dir)
    token = kept.pop("webhook_token")
    sandbox = await _started(ConnectedApp(**kept), data_dir / _STORE)
    sandbox.messages.url = f"{webhook_url}/{token}"
    try:
        url = sandbox.base_url
        settings = {**settings_of(sandbox), "webhook_token": token}
        yield SandboxInfo(url, settings, _FIRST_STEP.format(url=url))
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


def _credentials(data_dir: Path) -> dict[str, str]:
    """Return the stored credentials and the token of messages, in a file of the owner only."""
    path = data_dir / _CREDENTIALS
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        names = ("client_id", "client_secret", "webhook_token")
        made = {name: secrets.token_urlsafe(24) for name in names}
        _write_private(path, json.dumps(made))
    kept: dict[str, str] = json.loads(path.read_text())
    return kept


def _write_private(path: Path, text: str) -> None:
    unfinished = path.with_suffix(".tmp")
    unfinished.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(unfinished, flags, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)
