"""Settings from the environment, a `.env` file and mounted secret files."""

import ipaddress
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from dotenv import dotenv_values

from zenskar.errors import ConfigurationError
from zenskar.networks import Hosts, Networks

PREFIX = "ZENSKAR_"
PER_CONNECTION = (
    "retry_max_attempts",
    "retry_base_seconds",
    "retry_max_seconds",
    "breaker_failures",
    "delete_guard_limit",
    "delete_guard_window_seconds",
    "enforce_limits",
)
"""What a connection may have of its own, besides its policy and whether deletes travel."""
_REDELIVERY_DAYS = 31
"""For 30 days an external system such as Stripe lets its events be sent again."""
Policy = Literal["internal_wins", "external_wins", "latest_wins"]
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that shows itself only to who asks for it."""

    _text: str = field(repr=False)

    def get_secret_value(self) -> str:
        """Return the text."""
        return self._text


def _limited(
    default: Any,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
) -> Any:
    """Declare a number that has to lie within limits."""
    return field(default=default, metadata={"least": least, "most": most, "above": above})


@dataclass(frozen=True, slots=True)
class Settings:
    """All that is not a connection's own setting; named ZENSKAR_… in the environment."""

    database_url: Secret | None = None
    database_pool_size: int = _limited(10, least=2, most=500)
    kafka_bootstrap_servers: str | None = None
    kafka_group: str = "zenskar"
    kafka_partitions: int = _limited(12, least=1, most=10_000)
    kafka_replication: int | None = _limited(None, least=1)
    kafka_create_topics: bool = True
    kafka_retention_days: float = _limited(30.0, above=0)
    kafka_compression: Literal["none", "gzip", "lz4", "snappy", "zstd"] = "none"
    kafka_max_message_bytes: int = _limited(1_000_000, least=10_000)
    kafka_send_timeout_seconds: float = _limited(5.0, above=0)
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: Secret | None = None
    kafka_ssl_cafile: str | None = None
    kafka_ssl_certfile: str | None = None
    kafka_ssl_keyfile: str | None = None
    data_dir: Path = Path(".zenskar")
    host: str = "127.0.0.1"
    port: int = _limited(8000, least=0, most=65535)
    worker_health_port: int = _limited(8001, least=0, most=65535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    auth: Literal["required", "off"] = "required"
    allowed_hosts: Hosts | None = None
    trusted_proxies: Networks | None = None
    connections: str | None = None
    max_body_bytes: int = _limited(1024 * 1024, least=1024)
    max_pending_body_bytes: int = _limited(32 * 1024 * 1024, least=1024)
    max_connections: int = _limited(1000, least=16)
    request_timeout_seconds: float = _limited(30.0, above=0)
    retry_max_attempts: int = _limited(20, least=1)
    retry_base_seconds: float = _limited(1.0, above=0)
    retry_max_seconds: float = _limited(3600.0, above=0)
    worker_concurrency: int = _limited(32, least=1, most=1024)
    inbound_batch: int | None = _limited(None, least=1, most=5000)
    poll_seconds: float = _limited(2.0, above=0)
    shutdown_grace_seconds: float = _limited(8.0, above=0)
    loop_block_seconds: float = _limited(1.0, above=0)
    conflict_policy: Policy = "internal_wins"
    propagate_deletes: bool = False
    enforce_limits: bool = True
    intent_lease_seconds: float = _limited(60.0, above=0)
    claim_lease_seconds: float = _limited(60.0, above=0)
    breaker_failures: int = _limited(5, least=1)
    probe_seconds: float = _limited(5.0, above=0)
    delete_guard_limit: int = _limited(100, least=0)
    delete_guard_window_seconds: float = _limited(3600.0, above=0)
    sweep_seconds: float = _limited(300.0, above=0)
    resend_seconds: float = _limited(300.0, above=0)
    unowned_days: float = _limited(7.0, above=0)
    retention_history_days: float = _limited(365.0, least=0)
    retention_payload_days: float = _limited(90.0, least=0)
    retention_push_days: float = _limited(365.0, least=0)
    retention_idempotency_key_days: float = _limited(1.0, least=0)


def defaults() -> dict[str, Any]:
    """Return every setting with its default."""
    return {each.name: each.default for each in fields(Settings)}


def load(environment: Mapping[str, str], **overrides: Any) -> Settings:
    """Read the settings; `ConfigurationError` names every one that is wrong."""
    given = {
        name: value
        for name in defaults()
        if (value := lookup(environment, f"{PREFIX}{name.upper()}")) is not None
    }
    given |= {name: value for name, value in overrides.items() if value is not None}
    settings = _with(Settings(), given, PREFIX)
    if wrong := list(_contradictions(settings)):
        raise ConfigurationError("; ".join(wrong))
    return settings


def overridden(settings: Settings, environment: Mapping[str, str], connection: str) -> Settings:
    """Return the settings with what a connection has of its own: `<CONNECTION>_<NAME>`."""
    prefix = f"{connection}_".upper()
    own = {
        name: value
        for name in PER_CONNECTION
        if (value := lookup(environment, f"{prefix}{name.upper()}")) is not None
    }
    return _with(settings, own, prefix) if own else settings


def environment(folder: Path | None = None) -> dict[str, str]:
    """Return the process environment over the `.env` file of this folder."""
    dotenv = dotenv_values((folder or Path.cwd()) / ".env")
    return {k: v for k, v in dotenv.items() if v is not None} | dict(os.environ)


def lookup(environment: Mapping[str, str], variable: str) -> str | None:
    """Return a variable's value, or the text of the file that `<variable>_FILE` names."""
    value = environment.get(variable)
    if value and value.strip():
        return value
    path = environment.get(f"{variable}_FILE")
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except OSError as error:
        raise ConfigurationError(f"{variable}_FILE: {error.strerror}: {path}") from error


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _with(settings: Settings, given: Mapping[str, Any], prefix: str) -> Settings:
    """Name every wrong setting, never its value: it may be a secret."""
    known, values, wrong = {each.name: each for each in fields(Settings)}, {}, []
    for name, value in given.items():
        try:
            values[name] = _read(known[name], value)
        except ValueError as error:
            wrong.append(f"{prefix}{name.upper()}: {error}")
    if wrong:
        raise ConfigurationError("; ".join(wrong))
    return replace(settings, **values)


def _read(declared: "Field[Any]", value: Any) -> Any:
    """Return a setting's value as it is declared; `ValueError` says what it must be."""
    choices = get_args(declared.type)
    kind = choices[0] if choices else declared.type
    if isinstance(kind, str):
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return value
    if kind in {int, float}:
        return _number(kind, value, **declared.metadata)
    return boolean(value) if kind is bool else _text(kind, value)


def _number(
    kind: type[int] | type[float], value: Any, *, least: float, most: float, above: float
) -> float:
    try:
        number = kind(value)
    except ValueError:
        raise ValueError(f"must be {'a whole' if kind is int else 'a'} number") from None
    if not math.isfinite(number):
        raise ValueError("must be a number")
    if number < least:
        raise ValueError(f"must be at least {least}")
    if number > most:
        raise ValueError(f"must be at most {most}")
    if number <= above:
        raise ValueError(f"must be above {above}")
    return number


def boolean(value: Any) -> bool:
    """Read a switch; `ValueError` says what it must be."""
    text = str(value).lower()
    if text not in _TRUE | _FALSE:
        raise ValueError("must be true or false")
    return text in _TRUE


def _text(kind: Any, value: Any) -> Any:
    return value if isinstance(value, kind) else kind(value)


def _contradictions(settings: Settings) -> Iterator[str]:
    if settings.auth == "off" and not is_loopback(settings.host):
        yield (
            "ZENSKAR_AUTH=off is refused unless ZENSKAR_HOST is a loopback address, "
            f"and it is {settings.host}"
        )
    if settings.max_pending_body_bytes < settings.max_body_bytes:
        yield "ZENSKAR_MAX_PENDING_BODY_BYTES must not be below ZENSKAR_MAX_BODY_BYTES"
    # Another worker would take the push for lost while its call is still under way. The time
    # around the call, in which intent and answer are stored, is given as much again.
    if settings.intent_lease_seconds < 2 * settings.request_timeout_seconds:
        yield (
            "ZENSKAR_INTENT_LEASE_SECONDS must be at least twice ZENSKAR_REQUEST_TIMEOUT_SECONDS, "
            "or a push is taken for lost while its call is under way"
        )
    yield from _too_short(settings)
    # A request that ends while Kafka hangs would never reach the database instead.
    if settings.kafka_bootstrap_servers and (
        settings.kafka_send_timeout_seconds >= settings.request_timeout_seconds
    ):
        yield (
            "ZENSKAR_KAFKA_SEND_TIMEOUT_SECONDS must be below ZENSKAR_REQUEST_TIMEOUT_SECONDS, "
            "or no webhook is taken in while Kafka hangs"
        )


def _too_short(settings: Settings) -> Iterator[str]:
    """An event that may come again has to be known, and a delete that the guard counts."""
    guard_days = settings.delete_guard_window_seconds / 86_400
    for name in ("retention_history_days", "retention_push_days"):
        days = getattr(settings, name)
        if 0 < days < max(_REDELIVERY_DAYS, guard_days):
            yield (
                f"{PREFIX}{name.upper()} must be 0 (for ever) or more than {_REDELIVERY_DAYS}, and "
                f"than {PREFIX}DELETE_GUARD_WINDOW_SECONDS: what may come again has to be known"
            )
