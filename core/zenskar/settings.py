"""Settings from the environment, a `.env` file and mounted secret files."""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from zenskar.errors import ConfigurationError

PREFIX = "ZENSKAR_"
PER_CONNECTION = (
    "retry_max_attempts",
    "retry_base_seconds",
    "retry_max_seconds",
    "breaker_failures",
    "delete_guard_limit",
    "delete_guard_window_seconds",
)
"""What a connection may have of its own, besides its policy and whether deletes travel."""
Policy = Literal["internal_wins", "external_wins", "latest_wins"]


class Settings(BaseSettings):
    """All that is not a connection's own setting; named ZENSKAR_… in the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    database_url: SecretStr | None = None
    database_pool_size: int = Field(10, ge=2, le=500)
    kafka_bootstrap_servers: str | None = None
    kafka_group: str = Field("zenskar", min_length=1)
    kafka_partitions: int = Field(12, ge=1, le=10_000)
    kafka_replication: int | None = Field(None, ge=1)
    kafka_create_topics: bool = True
    kafka_compression: Literal["none", "gzip", "lz4", "snappy", "zstd"] = "none"
    kafka_max_message_bytes: int = Field(1_000_000, ge=10_000)
    kafka_send_timeout_seconds: float = Field(5.0, gt=0)
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
    worker_health_port: int = Field(8001, ge=0, le=65535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    auth: Literal["required", "off"] = "required"
    connections: str | None = None
    max_body_bytes: int = Field(1024 * 1024, ge=1024)
    request_timeout_seconds: float = Field(30.0, gt=0)
    retry_max_attempts: int = Field(8, ge=1)
    retry_base_seconds: float = Field(1.0, gt=0)
    retry_max_seconds: float = Field(300.0, gt=0)
    worker_concurrency: int = Field(16, ge=1, le=1024)
    inbound_batch: int = Field(200, ge=1, le=5000)
    poll_seconds: float = Field(2.0, gt=0)
    shutdown_grace_seconds: float = Field(8.0, gt=0)
    conflict_policy: Policy = "internal_wins"
    propagate_deletes: bool = False
    intent_lease_seconds: float = Field(60.0, gt=0)
    claim_lease_seconds: float = Field(60.0, gt=0)
    breaker_failures: int = Field(5, ge=1)
    probe_seconds: float = Field(5.0, gt=0)
    delete_guard_limit: int = Field(100, ge=0)
    delete_guard_window_seconds: float = Field(3600.0, gt=0)
    sweep_seconds: float = Field(300.0, gt=0)

    @model_validator(mode="after")
    def _auth_off_on_loopback_only(self) -> Self:
        if self.auth == "off" and not is_loopback(self.host):
            raise ValueError(
                "ZENSKAR_AUTH=off is refused unless ZENSKAR_HOST is a loopback address, "
                f"and it is {self.host}"
            )
        return self

    @model_validator(mode="after")
    def _spool_before_the_request_is_given_up(self) -> Self:
        """A request that ends while Kafka hangs would never reach the database instead."""
        if self.kafka_bootstrap_servers and (
            self.kafka_send_timeout_seconds >= self.request_timeout_seconds
        ):
            raise ValueError(
                "ZENSKAR_KAFKA_SEND_TIMEOUT_SECONDS must be below ZENSKAR_REQUEST_TIMEOUT_SECONDS, "
                "or no webhook is taken in while Kafka hangs"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what `load` hands over: it reads the environment for connections too."""
        del settings_cls
        return (init_settings,)


def load(environment: Mapping[str, str], **overrides: Any) -> Settings:
    """Read the settings; `ConfigurationError` names every one that is wrong."""
    names = {name: f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    values: dict[str, Any] = {
        name: value
        for name, variable in names.items()
        if (value := lookup(environment, variable)) is not None
    }
    values.update({k: v for k, v in overrides.items() if v is not None})
    try:
        return Settings(**values)
    except ValidationError as error:
        raise ConfigurationError(_explain(error)) from None


def overridden(settings: Settings, environment: Mapping[str, str], connection: str) -> Settings:
    """Return the settings with what a connection has of its own: `<CONNECTION>_<NAME>`."""
    prefix = f"{connection}_".upper()
    own = {
        name: value
        for name in PER_CONNECTION
        if (value := lookup(environment, f"{prefix}{name.upper()}")) is not None
    }
    if not own:
        return settings
    try:
        return Settings(**{**settings.model_dump(), **own})
    except ValidationError as error:
        raise ConfigurationError(_explain(error, prefix)) from None


def environment(folder: Path | None = None) -> dict[str, str]:
    """Return the process environment over the `.env` file of this folder."""
    dotenv = dotenv_values((folder or Path.cwd()) / ".env")
    return {k: v for k, v in dotenv.items() if v is not None} | dict(os.environ)


def lookup(environment: Mapping[str, str], variable: str) -> str | None:
    """Return a variable's value, or the text of the file that `<variable>_FILE` names."""
    if value := environment.get(variable):
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


def _explain(error: ValidationError, prefix: str = PREFIX) -> str:
    """Name every wrong setting, never its value: it may be a secret."""
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        name = "_".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{prefix}{name.upper()}: {message}" if name else message)
    return "; ".join(lines)
