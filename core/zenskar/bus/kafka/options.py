"""The options of Kafka's clients."""

import socket
from dataclasses import dataclass
from typing import Any

from zenskar.errors import ConfigurationError
from zenskar.settings import Settings

GROUP = "zenskar"
MEMBER = "zenskar@"
"""Before the host in the client id of a consumer."""


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """Options of every client. A `replication` of None means the number of brokers, at most 3.

    A consumer that does not poll within `poll_interval_ms` leaves its group.
    """

    bootstrap_servers: str
    group: str = GROUP
    partitions: int = 12
    replication: int | None = None
    create_topics: bool = True
    retention_days: float = 30.0
    compression: str | None = None
    max_message_bytes: int = 1_000_000
    send_timeout_seconds: float = 5.0
    poll_interval_ms: int = 60_000
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = None
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> "KafkaOptions":
        """Return the options of the settings, whose bootstrap servers must be set."""
        password = settings.kafka_sasl_password
        compression = settings.kafka_compression
        return cls(
            bootstrap_servers=settings.kafka_bootstrap_servers or "",
            group=settings.kafka_group,
            partitions=settings.kafka_partitions,
            replication=settings.kafka_replication,
            create_topics=settings.kafka_create_topics,
            retention_days=settings.kafka_retention_days,
            compression=None if compression == "none" else compression,
            max_message_bytes=settings.kafka_max_message_bytes,
            send_timeout_seconds=settings.kafka_send_timeout_seconds,
            security_protocol=settings.kafka_security_protocol,
            sasl_mechanism=settings.kafka_sasl_mechanism,
            sasl_username=settings.kafka_sasl_username,
            sasl_password=password.get_secret_value() if password is not None else None,
            ssl_cafile=settings.kafka_ssl_cafile,
            ssl_certfile=settings.kafka_ssl_certfile,
            ssl_keyfile=settings.kafka_ssl_keyfile,
        )

    def client(self) -> dict[str, Any]:
        """Return the arguments of every client of aiokafka.

        Raises `ConfigurationError` when the TLS files cannot be used.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "client_id": "zenskar",
            "security_protocol": self.security_protocol,
            "metadata_max_age_ms": 30_000,
        }
        if self.security_protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password,
            }
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = self._ssl_context()
        return options

    def member(self) -> dict[str, Any]:
        """Return the arguments of a consumer, whose group names the host."""
        return self.client() | {"client_id": f"{MEMBER}{socket.gethostname()}"}

    def group_of(self, topic: str) -> str:
        """Return the name of the group that consumes a topic."""
        return f"{self.group}.{topic}"

    def _ssl_context(self) -> Any:
        from aiokafka.helpers import create_ssl_context

        try:
            return create_ssl_context(
                cafile=self.ssl_cafile, certfile=self.ssl_certfile, keyfile=self.ssl_keyfile
            )
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the TLS files of Kafka cannot be used: {error}") from error
