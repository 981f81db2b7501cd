"""Settings from the environment, a `.env` file and mounted secret files."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from dotenv import dotenv_values
from pydantic import Field, PlainValidator, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from zenskar.errors import ConfigurationError
from zenskar.networks import Hosts, Networks, alert_address, is_loopback, public_address

PREFIX = "ZENSKAR_"
_TEXT = "utf-8-sig"
"""UTF-8 with or without a byte order mark, which editors of Windows write."""
_REDELIVERY_DAYS = 31
"""Stripe, for example, sends an event again on request for 30 days."""
_MOST_DAYS = 36_500
"""A hundred years: a time that long ago, or that far ahead, still has a date."""
_MOST_CHARACTERS = 100_000
"""The longest value in a file: a device that is named by mistake has no end."""
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")
Policy = Literal["internal_wins", "external_wins", "latest_wins"]
S = TypeVar("S", bound=BaseSettings)
Seconds = Annotated[float, Field(le=_MOST_DAYS * 86_400)]
Days = Annotated[float, Field(le=_MOST_DAYS)]
Count = Annotated[int, Field(lt=2**31)]


def _parse_hosts(value: str | Hosts) -> Hosts:
    return value if isinstance(value, Hosts) else Hosts(value)


def _parse_networks(value: str | Networks) -> Networks:
    return value if isinstance(value, Networks) else Networks(value)


def _parse_header(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise ValueError("must be the name of a header")
    return value


def _parse_alert_url(value: str | SecretStr) -> SecretStr:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return SecretStr(alert_address(text))


class ConnectionSettings(BaseSettings):
    """Settings that a connection may override: `<CONNECTION>_RETRY_MAX_ATTEMPTS` and so on."""

    model_config = SettingsConfigDict(frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    propagate_deletes: bool = False
    on_restore: Literal["undelete", "ignore"] = "undelete"
    on_purge: Literal["delete", "erase"] = "delete"
    enforce_limits: bool = True
    retry_max_attempts: Count = Field(20, ge=1)
    retry_base_seconds: Seconds = Field(1.0, gt=0)
    retry_max_seconds: Seconds = Field(3600.0, gt=0)
    breaker_failures: Count = Field(5, ge=1)
    delete_guard_limit: Count = Field(100, ge=0)
    delete_guard_window_seconds: Seconds = Field(3600.0, gt=0)
    backfill_share: float = Field(0.6, gt=0, le=1)
    read_share: float = Field(0.8, gt=0, le=1)
    push_share: float = Field(0.95, gt=0, le=1)


class OwnSettings(BaseSettings):
    """Settings that a connection alone has; zenskar's own `POLL_SECONDS` is about the bus."""

    model_config = SettingsConfigDict(frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    poll_seconds: Seconds | None = Field(None, gt=0)
    daily_calls: Count | None = Field(None, ge=1)


class Settings(ConnectionSettings):
    """Every setting of the runtime; the environment holds it as `ZENSKAR_<NAME>`."""

    database_url: SecretStr | None = None
    database_pool_size: int = Field(10, ge=2, le=500)
    kafka_bootstrap_servers: str | None = None
    kafka_group: str = "zenskar"
    kafka_partitions: int = Field(12, ge=1, le=10_000)
    kafka_replication: Count | None = Field(None, ge=1)
    kafka_create_topics: bool = True
    kafka_retention_days: Days = Field(30.0, gt=0)
    kafka_compression: Literal["none", "gzip", "lz4", "snappy", "zstd"] = "none"
    kafka_max_message_bytes: Count = Field(1_000_000, ge=10_000)
    kafka_send_timeout_seconds: Seconds = Field(5.0, gt=0)
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ssl_cafile: str | None = None
    kafka_ssl_certfile: str | None = None
    kafka_ssl_keyfile: str | None = None
    data_dir: Path = Path(".zenskar")
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    console_port: int | None = Field(None, ge=0, le=65535)
    worker_health_port: int = Field(8001, ge=0, le=65535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    auth: Literal["required", "off"] = "required"
    allowed_hosts: Annotated[Hosts, PlainValidator(_parse_hosts)] | None = None
    trusted_proxies: Annotated[Networks, PlainValidator(_parse_networks)] | None = None
    public_url: Annotated[str, PlainValidator(public_address)] | None = None
    alert_url: Annotated[SecretStr, PlainValidator(_parse_alert_url)] | None = None
    client_certificate_header: Annotated[str, PlainValidator(_parse_header)] | None = None
    connections: str | None = None
    max_body_bytes: int = Field(1024 * 1024, ge=1024)
    max_pending_body_bytes: int = Field(16 * 1024 * 1024, ge=1024)
    max_connections: Count = Field(1000, ge=16)
    request_timeout_seconds: Seconds = Field(30.0, gt=0)
    worker_concurrency: int = Field(32, ge=1, le=1024)
    inbound_batch: int | None = Field(None, ge=1, le=5000)
    poll_seconds: Seconds = Field(2.0, gt=0)
    shutdown_grace_seconds: Seconds = Field(8.0, gt=0)
    drain_seconds: Seconds = Field(0.0, ge=0)
    loop_block_seconds: Seconds = Field(1.0, gt=0)
    conflict_policy: Policy = "internal_wins"
    intent_lease_seconds: Seconds = Field(60.0, gt=0)
    claim_lease_seconds: Seconds = Field(60.0, gt=0)
    probe_seconds: Seconds = Field(5.0, gt=0)
    sweep_seconds: Seconds = Field(300.0, gt=0)
    resend_seconds: Seconds = Field(300.0, gt=0)
    unowned_days: Days = Field(7.0, gt=0)
    retention_history_days: Days = Field(365.0, ge=0)
    retention_payload_days: Days = Field(90.0, ge=0)
    retention_push_days: Days = Field(365.0, ge=0)
    retention_audit_days: Days = Field(365.0, ge=0)
    retention_idempotency_key_days: Days = Field(1.0, ge=0)

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        if contradictions := "; ".join(_contradictions(self)):
            raise ValueError(contradictions)
        return self


class VariableSource(PydanticBaseSettingsSource):
    """Reads `<PREFIX><NAME>`, or the file that `<PREFIX><NAME>_FILE` names, from a mapping."""

    def __init__(
        self, settings_cls: type[BaseSettings], environment: Mapping[str, str], prefix: str
    ) -> None:
        super().__init__(settings_cls)
        self._environment, self._prefix = environment, prefix

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return the text of a setting, None when it is not set."""
        variable = f"{self._prefix}{field_name.upper()}"
        return lookup(self._environment, variable), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the text of every setting that is set."""
        found = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: text for name, text in found.items() if text is not None}


def load(environment: Mapping[str, str], **overrides: Any) -> Settings:
    """Return the settings of an environment; an override that is not None replaces its variable.

    Raises `ConfigurationError`, which names every wrong setting.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    return _build(Settings, environment, PREFIX, given)


def overridden(settings: Settings, environment: Mapping[str, str], connection: str) -> Settings:
    """Return the settings with a connection's own values of `ConnectionSettings`.

    Raises `ConfigurationError`, which names every wrong setting of the connection.
    """
    own = _build(ConnectionSettings, environment, f"{connection}_".upper(), {})
    changed = own.model_dump(exclude_unset=True)
    return settings.model_copy(update=changed) if changed else settings


def own_settings(environment: Mapping[str, str], connection: str) -> OwnSettings:
    """Return the settings that a connection alone has.

    Raises `ConfigurationError`, which names every wrong setting of the connection.
    """
    return _build(OwnSettings, environment, f"{connection}_".upper(), {})


def environment(folder: Path | None = None) -> dict[str, str]:
    """Return the process environment over the `.env` file of this folder.

    Raises `ConfigurationError` when the file cannot be read.
    """
    path = (folder or Path.cwd()) / ".env"
    try:
        dotenv = dotenv_values(path, encoding=_TEXT)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {_reason(error)}") from error
    return layered({k: v for k, v in dotenv.items() if v is not None}, os.environ)


def layered(lower: Mapping[str, str], upper: Mapping[str, str]) -> dict[str, str]:
    """Return variables over others; the file of a variable replaces the variable below, too."""
    kept = {name: value for name, value in lower.items() if not upper.get(f"{name}_FILE")}
    return {**kept, **upper}


def lookup(environment: Mapping[str, str], variable: str) -> str | None:
    """Return a variable's value, or the text of the file that `<variable>_FILE` names.

    Spaces and ends of lines around either are dropped: an environment file of Windows leaves them.
    Raises `ConfigurationError` when the file cannot be read, or is too large for a value.
    """
    value = environment.get(variable, "").strip()
    if value:
        return value
    path = environment.get(f"{variable}_FILE")
    if not path:
        return None
    try:
        with Path(path).open(encoding=_TEXT) as file:
            content = file.read(_MOST_CHARACTERS + 1)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{variable}_FILE: {_reason(error)}: {path}") from error
    if len(content) > _MOST_CHARACTERS:
        limit = f"has more than {_MOST_CHARACTERS} characters"
        raise ConfigurationError(f"{variable}_FILE: {limit}: {path}")
    return content.strip() or None


def _reason(error: OSError | ValueError) -> str:
    """Return why a file cannot be read, without the bytes of the file."""
    if isinstance(error, UnicodeError):
        return "is not text in UTF-8"
    return str(error.strerror if isinstance(error, OSError) else error)


def _build(
    kind: type[S], environment: Mapping[str, str], prefix: str, overrides: Mapping[str, Any]
) -> S:
    sources = (
        InitSettingsSource(kind, dict(overrides)),
        VariableSource(kind, environment, prefix),
    )
    try:
        return kind(_build_sources=(sources, {}))
    except ValidationError as error:
        raise ConfigurationError("; ".join(_problems(error, prefix))) from None


def _problems(error: ValidationError, prefix: str) -> Iterator[str]:
    """Yield each wrong setting by its variable, without its value, which may be a secret."""
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        text = each["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        yield f"{prefix}{str(each['loc'][0]).upper()}: {text}" if each["loc"] else text


def _contradictions(settings: Settings) -> Iterator[str]:
    if settings.auth == "off" and not is_loopback(settings.host):
        yield (
            "ZENSKAR_AUTH=off is refused unless ZENSKAR_HOST is a loopback address, "
            f"and it is {settings.host}"
        )
    if settings.client_certificate_header and settings.trusted_proxies is None:
        yield (
            "ZENSKAR_CLIENT_CERTIFICATE_HEADER needs ZENSKAR_TRUSTED_PROXIES: "
            "the header of any other sender proves nothing"
        )
    if settings.max_pending_body_bytes < settings.max_body_bytes:
        yield "ZENSKAR_MAX_PENDING_BODY_BYTES must not be below ZENSKAR_MAX_BODY_BYTES"
    # Another worker would treat the push as lost while its call is in progress. Storing the
    # intent before the call and the answer after the call may take as long as the call.
    if settings.intent_lease_seconds < 2 * settings.request_timeout_seconds:
        yield (
            "ZENSKAR_INTENT_LEASE_SECONDS must be at least twice ZENSKAR_REQUEST_TIMEOUT_SECONDS, "
            "or another worker treats a push as lost while its call is in progress"
        )
    yield from _short_retention(settings)
    # A request that ends while Kafka hangs would never reach the database instead.
    if settings.kafka_bootstrap_servers and (
        settings.kafka_send_timeout_seconds >= settings.request_timeout_seconds
    ):
        yield (
            "ZENSKAR_KAFKA_SEND_TIMEOUT_SECONDS must be below ZENSKAR_REQUEST_TIMEOUT_SECONDS, "
            "or no webhook is accepted while Kafka hangs"
        )


def _short_retention(settings: Settings) -> Iterator[str]:
    """Keep an event while the system may send it again, and a delete while the guard counts it."""
    guard_days = settings.delete_guard_window_seconds / 86_400
    for name in ("retention_history_days", "retention_push_days"):
        days = getattr(settings, name)
        if 0 < days < max(_REDELIVERY_DAYS, guard_days):
            yield (
                f"{PREFIX}{name.upper()} must be 0 (unlimited) or more than {_REDELIVERY_DAYS}, "
                f"and more than {PREFIX}DELETE_GUARD_WINDOW_SECONDS: an event that may be sent "
                "again must still be known"
            )
