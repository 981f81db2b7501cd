"""Run the sandbox for `zenskar dev`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from zenskar import SandboxInfo
from zenskar.http.lookalike import kept_secrets, running_at
from zenskar_salesforce.sandbox import ConnectedApp, SalesforceSandbox, settings_of

_CREDENTIALS = "salesforce_sandbox_credentials.json"
_PREFIXES = {"client_id": "", "client_secret": "", "webhook_token": ""}
_STORE = "salesforce_sandbox.db"
_PORT = 8020
_FIRST_STEP = (
    "curl -sS {url}/_sandbox/records -H 'content-type: application/json' "
    """-d '{{"LastName": "Hopper", "FirstName": "Grace", "Email": "grace@example.com"}}'"""
)


@asynccontextmanager
async def run_sandbox(data_dir: Path, webhook_url: str) -> AsyncIterator[SandboxInfo]:
    """Run a sandbox that keeps its data in `data_dir` and sends its messages to `webhook_url`."""
    kept = kept_secrets(data_dir / _CREDENTIALS, _PREFIXES)
    token = kept.pop("webhook_token")

    def made(port: int) -> SalesforceSandbox:
        return SalesforceSandbox(app=ConnectedApp(**kept), store_path=data_dir / _STORE, port=port)

    async with running_at(_PORT, made) as sandbox:
        sandbox.send_webhooks_only_to(f"{webhook_url}/{token}", token)
        url = sandbox.base_url
        settings = {**settings_of(sandbox), "webhook_token": token}
        yield SandboxInfo(url, settings, _FIRST_STEP.format(url=url))
