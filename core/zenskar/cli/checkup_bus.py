"""The check of `zenskar doctor` that needs Kafka."""

from zenskar.bus.kafka_options import KafkaOptions
from zenskar.bus.kafka_topics import ensure_topics
from zenskar.cli.finding import Finding, failed, ok
from zenskar.errors import ZenskarError
from zenskar.settings import Settings

_CALL_SECONDS = 5.0


async def check(settings: Settings) -> list[Finding]:
    """Check that Kafka answers and has the topics; nothing without Kafka."""
    if not settings.kafka_bootstrap_servers:
        return []
    try:
        options = KafkaOptions.of(settings)
        await ensure_topics(options, timeout_seconds=_CALL_SECONDS, create=False)
    except ZenskarError as error:
        mend = "check ZENSKAR_KAFKA_BOOTSTRAP_SERVERS, or do what is said; messages wait meanwhile"
        return [failed("kafka", str(error), mend)]
    return [ok("kafka", "answers and has the topics")]
