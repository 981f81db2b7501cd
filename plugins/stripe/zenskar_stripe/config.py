"""The settings of a Stripe connection."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zenskar import Connection, InvalidInput, Setting
from zenskar.http import base_address
from zenskar.webhooks import split_secrets

API_BASE = "https://api.stripe.com"
TIMEOUT_SECONDS = 30.0
_KEY = re.compile(r"[!-~]+")
TEST_RATE, LIVE_RATE, ENDPOINT_RATE = 25.0, 80.0, 25.0

SETTINGS = (
    Setting("api_key", required=True, secret=True, help="Secret or restricted API key."),
    Setting(
        "webhook_secret",
        required=True,
        secret=True,
        help="Signing secret of the webhook endpoint; comma-separated while rotating.",
    ),
    Setting("api_base", default=API_BASE, help="Address of the API."),
    Setting(
        "allow_http",
        kind=bool,
        default=False,
        help="Accept an api_base without TLS on another machine.",
    ),
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

    `rate` is the number of calls per second to all endpoints, `endpoint_rate` to one endpoint; 0
    means no limit. `live` is None when the key does not show its mode.
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
        """Return the configuration of a connection. Raises `InvalidInput` for a wrong setting."""
        given = connection.settings
        _check(connection)
        key = str(given.get("api_key") or "").strip()
        live = _live(key)
        rate, endpoint_rate = _rates(given, live=live)
        return cls(
            api_key=key,
            webhook_secrets=split_secrets(given.get("webhook_secret")),
            api_base=_api_base(connection),
            rate=rate,
            endpoint_rate=endpoint_rate,
            account=given.get("account") or None,
            timeout_seconds=_timeout(connection),
            live=live,
        )


def _timeout(connection: Connection) -> float:
    given = connection.settings.get("timeout_seconds")
    seconds = TIMEOUT_SECONDS if given is None else float(given)
    if seconds <= 0:
        raise InvalidInput(f"{connection.name.upper()}_TIMEOUT_SECONDS must be above 0")
    return seconds


def _check(connection: Connection) -> None:
    given, name = connection.settings, connection.name.upper()
    key = str(given.get("api_key") or "").strip()
    if not key:
        raise InvalidInput(f"{name}_API_KEY holds no key")
    # Such a key fails inside the HTTP client, as if Stripe could not be reached.
    if not _KEY.fullmatch(key):
        raise InvalidInput(f"{name}_API_KEY must be one word of ASCII characters")
    secrets = split_secrets(given.get("webhook_secret"))
    # Everybody knows the empty secret and could sign; without a secret, no webhook is accepted.
    if not secrets or not all(secret.removeprefix("whsec_") for secret in secrets):
        raise InvalidInput(f"{name}_WEBHOOK_SECRET holds no secret, or an empty one")


def _api_base(connection: Connection) -> str:
    given, name = connection.settings, connection.name.upper()
    return base_address(
        given.get("api_base") or API_BASE,
        name=f"{name}_API_BASE",
        allow_http=bool(given.get("allow_http")),
        hint=f", or set {name}_ALLOW_HTTP=true",
    )


def _live(key: str) -> bool | None:
    mode = re.match(r"[sr]k_(live|test)_", key)
    return mode and mode[1] == "live"


def _rates(given: Mapping[str, Any], *, live: bool | None) -> tuple[float, float]:
    """Return the budgets: https://docs.stripe.com/rate-limits.

    Stripe allows 100 calls per second in live mode, 25 in test mode, and 25 to one endpoint. The
    default leaves some live calls to other users of the account. A configured limit replaces both
    defaults, because an account may have another limit.
    """
    limit = given.get("rate_limit")
    if limit is not None:
        return max(float(limit), 0.0), max(float(limit), 0.0)
    return (LIVE_RATE if live else TEST_RATE), ENDPOINT_RATE
