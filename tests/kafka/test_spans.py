"""A trace leads through the outbox and through Kafka."""

from tests.kafka.test_flow import settings
from tests.kafka.topics import delete_topics
from tests.support.flow import open_flow
from tests.support.spans import id_of, parent_of, recorded, trace_of
from tests.support.wait import until

SENT = f"00-{'a' * 32}-{'b' * 16}-01"


async def test_a_change_stays_in_its_trace(kafka: str, database_url: str) -> None:
    await delete_topics(kafka)
    with recorded() as spans:
        async with open_flow(database_url, tracing=spans.tracing, **settings(kafka)) as flow:
            document = {"name": "Ada", "email": "ada@example.com"}
            await flow.runtime.customers.create(document, correlation_id="test", traceparent=SENT)
            await flow.settle()

            async def processed() -> bool:
                return bool(spans.named("process sync.outbound"))

            await until(processed)
        (sent,), (job,) = spans.named("send sync.outbound"), spans.named("process sync.outbound")
        (call,) = spans.named("create fake")

    assert {trace_of(span) for span in (sent, job, call)} == {int("a" * 32, 16)}
    assert parent_of(sent) == parent_of(job) == int("b" * 16, 16)
    assert parent_of(call) == id_of(job)
