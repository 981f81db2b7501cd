"""Check the bus on Kafka."""

from collections.abc import Mapping

from zenskar.bus.kafka.options import KafkaOptions
from zenskar.bus.kafka.topics import ensure_topics, short_lived
from zenskar.errors import ZenskarError
from zenskar.ops.checks.finding import Finding, failed, note, ok
from zenskar.settings import Settings

FIX = "check ZENSKAR_KAFKA_BOOTSTRAP_SERVERS, or see the detail; messages wait until then"
_CALL_SECONDS = 5.0


async def check(settings: Settings) -> list[Finding]:
    """Check that Kafka answers and has the topics; return no finding without Kafka."""
    if not settings.kafka_bootstrap_servers:
        return []
    try:
        options = KafkaOptions.of(settings)
        await ensure_topics(options, timeout_seconds=_CALL_SECONDS, create=False)
        short = await short_lived(options, timeout_seconds=_CALL_SECONDS)
    except ZenskarError as error:
        return [failed("kafka", str(error), FIX)]
    return [ok("kafka", "answers and has the topics"), _retention(short, options.retention_days)]


def _retention(short: Mapping[str, float], wanted: float) -> Finding:
    if not short:
        return ok("kafka retention", f"at least {wanted:g} days")
    detail = ", ".join(f"{topic} {days:.3g} days" for topic, days in sorted(short.items()))
    return note(
        "kafka retention",
        f"shorter than ZENSKAR_KAFKA_RETENTION_DAYS ({wanted:g}): {detail}",
        f"kafka-configs --alter --entity-type topics --entity-name {min(short)} "
        f"--add-config retention.ms={wanted * 86_400_000:.0f}",
    )
