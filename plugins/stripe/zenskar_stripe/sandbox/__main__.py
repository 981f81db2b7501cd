"""Run the sandbox as a process: `python -m zenskar_stripe.sandbox --help`."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from zenskar.http.lookalike import BadInput, StoreError

from .sandbox import StripeSandbox

if TYPE_CHECKING:
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(
        prog="python -m zenskar_stripe.sandbox",
        description="Serve a local Stripe: customers, events, signed webhooks, injected faults.",
        epilog="Faults and dashboard edits are driven by JSON requests to /_sandbox/.",
    )
    add = result.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=8420, help="0 picks a free one (default: %(default)s)")
    add("--api-key", default="sk_test_zenskar_sandbox", help="key to accept (%(default)s)")
    add("--store", type=Path, metavar="PATH", help="file to persist in (default: memory only)")
    add("--webhook", metavar="URL", help="endpoint to send events to; needs --secret")
    add("--secret", metavar="WHSEC", help="signing secret of the endpoint")
    add("--remote-webhooks", action="store_true", help="allow webhooks to other machines")
    add("--seed", type=int, help="makes ids repeatable (default: another one each time)")
    add("--search-lag", type=float, default=0.0, metavar="SECONDS", help="lag of search (0)")
    add("--retry-base", type=float, default=1.0, metavar="SECONDS", help="first retry wait (1)")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM and return the exit status."""
    command = parser()
    options = command.parse_args(arguments)
    if (options.webhook is None) != (options.secret is None):
        command.error("--webhook and --secret go together")
    try:
        asyncio.run(_serve(options))
    except OSError as error:
        return _failed(error.strerror or str(error))
    except (StoreError, BadInput) as error:
        return _failed(str(error))
    return 0


def _failed(message: str) -> int:
    sys.stderr.write(f"error: {message}\n")
    return 1


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _sandbox(options) as sandbox:
        if options.webhook is not None:
            sandbox.add_webhook_endpoint(options.webhook, options.secret)
        sys.stdout.write(f"Stripe sandbox listening on {sandbox.base_url}\n")
        sys.stdout.flush()
        await stop.wait()


def _sandbox(options: argparse.Namespace) -> StripeSandbox:
    return StripeSandbox(
        host=options.host,
        port=options.port,
        api_key=options.api_key,
        store_path=options.store,
        seed=secrets.randbits(32) if options.seed is None else options.seed,
        webhook_retry_base=options.retry_base,
        search_lag=options.search_lag,
        remote_webhooks=options.remote_webhooks,
    )


if __name__ == "__main__":
    sys.exit(main())
