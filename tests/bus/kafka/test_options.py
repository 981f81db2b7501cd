"""Settings of Kafka reach its clients, and unusable settings are reported."""

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)

from zenskar.bus.kafka.errors import translated
from zenskar.bus.kafka.options import KafkaOptions
from zenskar.bus.kafka.producer import KafkaProducer, KafkaRecord, partition_of
from zenskar.errors import ConfigurationError, TooLarge, Unavailable
from zenskar.settings import load


def options(**variables: str) -> KafkaOptions:
    named = {f"ZENSKAR_KAFKA_{name}": value for name, value in variables.items()}
    return KafkaOptions.of(load({"ZENSKAR_KAFKA_BOOTSTRAP_SERVERS": "b:1", **named}))


def test_credentials_reach_the_client() -> None:
    client = options(
        SECURITY_PROTOCOL="SASL_SSL",
        SASL_MECHANISM="SCRAM-SHA-512",
        SASL_USERNAME="u",
        SASL_PASSWORD="canary",
    ).client()
    assert client["security_protocol"] == "SASL_SSL"
    assert client["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (client["sasl_plain_username"], client["sasl_plain_password"]) == ("u", "canary")
    assert client["ssl_context"].check_hostname


def test_without_security_no_credentials_are_sent() -> None:
    assert set(options().client()) == {
        "bootstrap_servers",
        "client_id",
        "metadata_max_age_ms",
        "security_protocol",
    }


def test_a_missing_certificate_is_named() -> None:
    with pytest.raises(ConfigurationError, match="TLS files"):
        options(SECURITY_PROTOCOL="SSL", SSL_CAFILE="/does/not/exist").client()


def test_no_compression_is_none() -> None:
    assert options().compression is None
    assert options(COMPRESSION="zstd").compression == "zstd"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TopicAuthorizationFailedError("sync.inbound"), ConfigurationError),
        (MessageSizeTooLargeError(), TooLarge),
        (KafkaConnectionError("b:1"), Unavailable),
        (ConnectionRefusedError(), Unavailable),
    ],
)
def test_a_kafka_error_becomes_an_error_of_zenskar(error: Exception, kind: type[Exception]) -> None:
    assert isinstance(translated(error), kind)


@pytest.mark.parametrize(
    ("key", "hashed"),
    [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536)],
)
def test_a_key_has_the_partition_of_other_clients(key: str, hashed: int) -> None:
    """The hashes are those that Apache Kafka's own tests expect of murmur2."""
    assert partition_of(key, 12) == (hashed & 0x7FFFFFFF) % 12


async def test_a_message_that_is_too_large_is_refused_before_anything_is_sent() -> None:
    producer = KafkaProducer(options(MAX_MESSAGE_BYTES="10000"))
    with pytest.raises(TooLarge, match="10000"):
        await producer.send([KafkaRecord("t", "k", b"x"), KafkaRecord("t", "k", b"x" * 10_000)])


async def test_an_unavailable_broker_is_reported_in_time() -> None:
    producer = KafkaProducer(
        KafkaOptions(bootstrap_servers="127.0.0.1:1", send_timeout_seconds=0.5)
    )
    with pytest.raises(Unavailable):
        await producer.send([KafkaRecord("t", "k", b"x")])
    await producer.stop()
