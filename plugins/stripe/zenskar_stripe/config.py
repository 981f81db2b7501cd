"""The settings of a Stripe connection."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zenskar import Connection, Setting

API_BASE = "https://api.stripe.com"
TIMEOUT_SECONDS = 30.0
TEST_RATE, LIVE_RATE, ENDPOINT_RATE = 25.0, 80.0, 25.0

SETTINGS = (
    Setting("api_key", required=True, secret=True, help="Secret or restricted API key."),
    Setting(
        "webhook_secret",
        required=True,
        secret=True,
        help="Signing secret of the webhook endpoint; several, comma-separated, while rotating.",
    ),
    Setting("api_base", default=API_BASE, help="Address of the API."),
    Setting(
        "rate_limit",
        kind=float,
        help="Calls per second of one process, also to one endpoint; 0 for no limit.",
    ),
    Setting("account", help="Own account id; events of other accounts are ignored."),
    Setting("timeout_seconds", kind=float, default=TIMEOUT_SECONDS, help="Limit of one call."),
)


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one connection, with every default filled in.

    `rate` is the number of calls per second in all, `endpoint_rate` that of one endpoint; 0 means
    no limit. `live` is None when the key does not tell its mode.
    """

    api_key: str = field(repr=False)
    webhook_secrets: tuple[str, ...] = field(repr=False)
    api_base: str = API_BASE
    rate: float = TEST_RATE
    endpoint_rate: float = ENDPOINT_RATE
    account: str | None = None
    timeout_seconds: float = TIMEOUT_SECONDS
    live: bool | None = None

    @classmethod
    def of(cls, connection: Connection) -> "Config":
        """Read the settings of a connection."""
        given = connection.settings
        key = str(given.get("api_key") or "").strip()
        live = _live(key)
        rate, endpoint_rate = _rates(given, live=live)
        return cls(
            api_key=key,
            webhook_secrets=_split(given.get("webhook_secret")),
            api_base=str(given.get("api_base") or API_BASE).rstrip("/"),
            rate=rate,
            endpoint_rate=endpoint_rate,
            account=given.get("account") or None,
            timeout_seconds=float(given.get("timeout_seconds") or TIMEOUT_SECONDS),
            live=live,
        )


def _split(secrets: Any) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in str(secrets or "").split(","))))


def _live(key: str) -> bool | None:
    mode = re.match(r"[sr]k_(live|test)_", key)
    return mode and mode[1] == "live"


def _rates(given: Mapping[str, Any], *, live: bool | None) -> tuple[float, float]:
    """Return the budgets: https://docs.stripe.com/rate-limits.

    100 calls per second in live mode, of which some are left to the account's other uses, 25 in
    test mode, and 25 to any one endpoint. Who sets a limit knows what the account was granted.
    """
    limit = given.get("rate_limit")
    if limit is not None:
        return max(float(limit), 0.0), max(float(limit), 0.0)
    return (LIVE_RATE if live else TEST_RATE), ENDPOINT_RATE
