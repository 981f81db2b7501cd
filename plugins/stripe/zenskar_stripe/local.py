"""Run the sandbox for `zenskar dev`."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from zenskar import SandboxInfo
from zenskar.http.lookalike import kept_secrets, running_at
from zenskar_stripe.sandbox import StripeSandbox

_CREDENTIALS = "stripe_sandbox_credentials.json"
_PREFIXES = {"api_key": "sk_test_", "webhook_secret": "whsec_"}
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
    store, seed = data_dir / _STORE, secrets.randbits(32)

    def made(port: int) -> StripeSandbox:
        key = settings["api_key"]
        return StripeSandbox(api_key=key, store_path=store, port=port, seed=seed)

    async with running_at(_PORT, made) as sandbox:
        sandbox.send_webhooks_only_to(webhook_url, settings["webhook_secret"])
        url = sandbox.base_url
        yield SandboxInfo(url, {**settings, "api_base": url}, _FIRST_STEP.format(url=url))


def credentials(data_dir: Path) -> dict[str, str]:
    """Return the sandbox's API key and webhook secret, stored in a file of the owner only."""
    return kept_secrets(data_dir / _CREDENTIALS, _PREFIXES)
