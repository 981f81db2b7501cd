"""A trace leads from a request to the call, and to the webhook that shows its effect."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opentelemetry.trace import SpanKind, StatusCode

from tests.e2e.stack import API_KEY, SECRET, Stack, open_stack
from tests.support.spans import Spans, id_of, parent_of, recorded, trace_of
from tests.support.wait import until
from zenskar_stripe.sandbox import Fault, FaultKind, StripeSandbox

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
FAULT = Fault(kind=FaultKind.SERVER_ERROR, method="POST", path_prefix="/v1/customers")
PERSON = {"name": "Zyxcanary Lovelace", "email": "zyxcanary@example.com"}


@asynccontextmanager
async def traced(database_url: str) -> AsyncIterator[tuple[Stack, StripeSandbox, Spans]]:
    with recorded() as spans:
        async with (
            StripeSandbox(api_key=API_KEY, webhook_retry_base=0.05) as stripe,
            open_stack(database_url, stripe.base_url, tracing=spans.tracing) as zenskar,
        ):
            stripe.add_webhook_endpoint(zenskar.webhook_url, SECRET)
            yield zenskar, stripe, spans


async def at_rest(zenskar: Stack, stripe: StripeSandbox) -> None:
    await zenskar.settled()
    await stripe.settle()
    await zenskar.settled()


async def test_a_change_is_one_trace_from_the_request_to_its_webhook(database_url: str) -> None:
    async with traced(database_url) as (zenskar, stripe, spans):
        address = f"{zenskar.address}/customers"
        async with zenskar.http.post(address, json=PERSON, headers=SENT) as response:
            assert response.status == 201
            correlation_id = response.headers["X-Correlation-Id"]
        await at_rest(zenskar, stripe)
        await until(lambda: ended(spans, "process sync.inbound"))
        (request,), (job,) = spans.named("POST /customers"), spans.named("process sync.outbound")
        (call,), (event,) = spans.named("create stripe"), spans.named("process sync.inbound")
        webhook = spans.named("POST /webhooks/{source}")[0]

    chain = (request, job, call, event)
    assert {trace_of(span) for span in chain} == {int(TRACE, 16)}
    assert [parent_of(span) for span in chain] == [
        int(CALLER, 16),
        id_of(request),
        id_of(job),
        id_of(job),
    ]
    kinds = [span.kind for span in (*chain, webhook)]
    assert kinds == [
        SpanKind.SERVER,
        SpanKind.CONSUMER,
        SpanKind.CLIENT,
        SpanKind.CONSUMER,
        SpanKind.SERVER,
    ]
    # A stranger may send a webhook, so its request is a trace of its own, which the event names.
    assert trace_of(webhook) != int(TRACE, 16)
    assert [link.context.span_id for link in event.links] == [id_of(webhook)]
    assert (request.attributes or {})["http.response.status_code"] == 201
    assert (job.attributes or {})["zenskar.correlation_id"] == correlation_id
    # The webhook may overtake the answer to the call.
    assert (event.attributes or {})["zenskar.verdict"] in {"echo", "linked", "confirmed"}
    assert "zyxcanary" not in spans.text().lower()


async def test_an_edit_in_stripe_is_a_trace_of_its_webhook(database_url: str) -> None:
    async with traced(database_url) as (zenskar, stripe, spans):
        created = stripe.dashboard.create(dict(PERSON))
        await zenskar.named(PERSON["email"])
        stripe.dashboard.update(str(created["id"]), {"name": "Grace"})
        await at_rest(zenskar, stripe)
        await until(lambda: ended(spans, "process sync.inbound", 2))
        webhooks = spans.named("POST /webhooks/{source}")
        events = spans.named("process sync.inbound")

    assert [parent_of(event) for event in events] == [id_of(webhook) for webhook in webhooks]
    assert not any(event.links for event in events)


async def test_a_failed_call_names_the_kind_and_the_retry_stays_in_the_trace(
    database_url: str,
) -> None:
    async with traced(database_url) as (zenskar, stripe, spans):
        stripe.faults.add(FAULT)
        address = f"{zenskar.address}/customers"
        async with zenskar.http.post(address, json=PERSON, headers=SENT) as response:
            customer_id = (await response.json())["id"]
        await zenskar.synced(customer_id)
        await at_rest(zenskar, stripe)
        calls = spans.named("create stripe")
        jobs = spans.named("process sync.outbound")

    assert {trace_of(span) for span in (*calls, *jobs)} == {int(TRACE, 16)}
    assert calls[0].status.status_code is StatusCode.ERROR
    assert (calls[0].attributes or {})["error.type"] in {"transient", "unknown_outcome"}
    assert not calls[0].events
    results = [(job.attributes or {})["zenskar.result"] for job in jobs]
    assert (results[0], results[-1]) == ("nack", "ack")


async def test_probes_and_metrics_are_no_traces(database_url: str) -> None:
    async with traced(database_url) as (zenskar, _, spans):
        for path in ("/health/ready", "/health/live", "/metrics", "/docs"):
            async with zenskar.http.get(f"{zenskar.address}{path}") as response:
                await response.read()
        assert not spans.exporter.get_finished_spans()


async def ended(spans: Spans, name: str, count: int = 1) -> bool:
    return len(spans.named(name)) >= count
