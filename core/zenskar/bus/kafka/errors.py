"""Conversion of Kafka errors into error classes of zenskar."""

from aiokafka import errors as kafka

from zenskar.errors import ConfigurationError, TooLarge, Unavailable, ZenskarError

_REFUSED = (
    kafka.TopicAuthorizationFailedError,
    kafka.GroupAuthorizationFailedError,
    kafka.ClusterAuthorizationFailedError,
    kafka.AuthenticationFailedError,
    kafka.AuthenticationMethodNotSupported,
    kafka.SaslAuthenticationFailed,
    kafka.UnsupportedSaslMechanismError,
)
_TOO_LARGE = (
    kafka.MessageSizeTooLargeError,
    kafka.RecordListTooLargeError,
    kafka.RecordTooLargeError,
)


def translated(error: BaseException) -> ZenskarError:
    """Return the error as `Unavailable`, `ConfigurationError` or `TooLarge`.

    Its text holds no message and no secret.
    """
    name = type(error).__name__
    if isinstance(error, _REFUSED):
        return ConfigurationError(
            f"Kafka refuses this client ({name}): check ZENSKAR_KAFKA_SECURITY_PROTOCOL, the "
            "credentials, and the rights on the topics and the group"
        )
    if isinstance(error, _TOO_LARGE):
        return TooLarge("a message is larger than Kafka takes; see ZENSKAR_KAFKA_MAX_MESSAGE_BYTES")
    return Unavailable(f"Kafka is unavailable ({name})")
