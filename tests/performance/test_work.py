"""Count the calls of the hot functions, without timing, so that a busy machine changes nothing.

The bounds are a third above the counts. Raise a bound for a good reason, with the change that
needs it; docs/performance.md says where the time goes.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
import stripe
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from sqlalchemy import event

from benchmarks.events import API_KEY, SECRET, Series, signature
from tests.support.api import app_of
from tests.support.flow import open_flow
from zenskar.db.outbox import OutboxMessage
from zenskar.kernel import MergePolicy, Situation, observe, plan
from zenskar.model.fields import CUSTOMER, flatten
from zenskar.model.integration import WebhookRequest
from zenskar.model.interval import Interval
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import ExternalMapping, Record
from zenskar.runtime import Runtime, open_runtime
from zenskar.settings import load
from zenskar.sync.event_reader import ReceivedWebhook
from zenskar.sync.inbound.apply import InboundSync
from zenskar.sync.ingest.pipeline import WebhookPipeline
from zenskar.sync.message_decoder import read_envelope
from zenskar_stripe.budget import Budget
from zenskar_stripe.client import StripeApi

BATCH = 50
ENVIRONMENT = {"STRIPE_API_KEY": API_KEY, "STRIPE_WEBHOOK_SECRET": SECRET}
FIELDS = {"/name": "Ada", "/email": "ada@example.com", "/phone": "+41", "/metadata/a": "b"}


def calls(work: Callable[[], Any]) -> int:
    """Count the calls, of Python and of C, of a function after its warm-up."""
    work()
    count = 0

    def note(_frame: Any, what: str, _argument: Any) -> None:
        nonlocal count
        count += what in {"call", "c_call"}

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@contextmanager
def counted_statements(runtime: Runtime) -> Iterator[list[str]]:
    """Yield the statements that are sent to the database, BEGIN and COMMIT too, without COPY."""
    sent: list[str] = []

    def note(found: Any) -> None:
        sent.append(found.query)

    def listen(_connection: Any, record: Any, _proxy: Any) -> None:
        record.driver_connection.add_query_logger(note)

    event.listen(runtime.engine.sync_engine, "checkout", listen)
    try:
        yield sent
    finally:
        event.remove(runtime.engine.sync_engine, "checkout", listen)


def webhook(number: int) -> WebhookRequest:
    body = Series(10 * BATCH, BATCH).event(number)
    return WebhookRequest({"stripe-signature": signature(body)}, body, time.time())


@pytest.fixture
async def runtime(database_url: str) -> Any:
    settings = load({}, database_url=database_url, connections="stripe=stripe")
    async with open_runtime(settings, ENVIRONMENT) as opened:
        yield opened


def reader(runtime: Runtime) -> WebhookPipeline:
    """Return the pipeline of webhooks."""
    return WebhookPipeline(runtime.context, runtime.schemas["event"])


def messages(runtime: Runtime, numbers: Iterable[int]) -> list[OutboxMessage]:
    """Return the messages of these webhooks."""
    items = reader(runtime).read([ReceivedWebhook("stripe", webhook(n), "c") for n in numbers])
    return [event.made for item in items for event in item.events]


async def test_checking_a_signature(runtime: Runtime) -> None:
    request = webhook(0)
    router = runtime.router
    assert calls(lambda: router.call("stripe", "verify_webhook", request=request)) < 40


async def test_parsing_an_event(runtime: Runtime) -> None:
    request = webhook(0)
    body = orjson.loads(request.body)
    router = runtime.router
    work = lambda: router.call("stripe", "parse_webhook", request=request, body=body)  # noqa: E731
    assert calls(work) < 56


async def test_making_a_message_of_a_webhook(runtime: Runtime) -> None:
    """Signature, parsing, four schemas, the canonical form and the envelope."""
    read, webhooks = reader(runtime).read, [ReceivedWebhook("stripe", webhook(0), "c")]
    assert calls(lambda: read(webhooks)) < 200


async def test_what_every_request_passes_through() -> None:
    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response()

    app = app_of("/", answer)
    requests = [make_mocked_request("GET", "/", {"Host": "127.0.0.1"}) for _ in range(2)]
    statuses = []

    def work() -> None:
        try:
            app._handle(requests.pop()).send(None)
        except StopIteration as done:
            statuses.append(done.value.status)

    assert calls(work) < 40
    assert statuses == [200, 200]


async def test_validating_a_message(runtime: Runtime) -> None:
    (message,) = messages(runtime, range(1))
    value, schema = message.encode(), runtime.schemas["event"]
    assert calls(lambda: read_envelope(value, schema)) < 14


async def test_a_call_to_stripe() -> None:
    """The work of the official SDK and the plugin around the network."""
    made = Series(1, 1).event(0)

    class Network(stripe.HTTPClient):
        name = "none"

        async def request_async(self, *_: Any) -> tuple[bytes, int, dict[str, str]]:
            return made, 200, {}

    api = object.__new__(StripeApi)
    api._client = stripe.StripeClient("sk_test_1", http_client=Network())
    api._budget = Budget(0, 0)
    body = {**FIELDS, "metadata": {"a": "b"}}

    def call() -> None:
        with pytest.raises(StopIteration):
            api.create_customer(body, "key").send(None)

    assert calls(call) < 850


def test_observing_and_planning() -> None:
    record = Record("r", FIELDS)
    mapping = ExternalMapping("e", "r", FIELDS, Interval(0, 1))
    situation = Situation(record=record, mapping=mapping, intents=(), rival=None)
    seen = Observation(
        ObservationKind.WEBHOOK, "e", Interval(5, 6), {**FIELDS, "/name": "Eve"}, None, None
    )
    assert calls(lambda: observe(situation, seen, MergePolicy(), new_record_id="n")) < 72
    assert calls(lambda: plan(situation, propagate_deletes=False)) < 25


def test_flattening_a_document() -> None:
    document = {"name": "Ada", "email": "a@b.c", "metadata": {f"k{n}": "v" for n in range(8)}}
    assert calls(lambda: flatten(CUSTOMER, document)) < 20


async def test_a_batch_takes_as_many_statements_as_one_event(runtime: Runtime) -> None:
    sync = InboundSync(runtime.context)
    schema = runtime.schemas["event"]

    def envelopes(first: int) -> list[Any]:
        made = messages(runtime, range(first, first + BATCH))
        return [read_envelope(message.encode(), schema) for message in made]

    await sync.apply(envelopes(0))
    with counted_statements(runtime) as sent:
        await sync.apply(envelopes(BATCH))
    assert len(sent) <= 10, "\n".join(sent)


async def test_each_transaction_of_a_push_writes_events_and_history_at_once(
    database_url: str,
) -> None:
    """The transactions are those of the request, of the plan and of the answer."""
    async with open_flow(database_url) as flow:
        await flow.create()
        await flow.settle()
        with counted_statements(flow.runtime) as sent:
            await flow.create()
            await flow.settle()
    history = [statement for statement in sent if "INTO sync_event_history" in statement]
    assert len(history) == 3, "\n".join(sent)
    assert all("sync_events" in statement for statement in history)


async def test_the_work_on_each_event_of_a_batch(runtime: Runtime) -> None:
    sync = InboundSync(runtime.context)
    schema = runtime.schemas["event"]
    waiting = [
        read_envelope(message.encode(), schema) for message in messages(runtime, range(3 * BATCH))
    ]
    await sync.apply(waiting[:BATCH])
    count = 0

    def note(_frame: Any, what: str, _argument: Any) -> None:
        nonlocal count
        count += what in {"call", "c_call"}

    await sync.apply(waiting[BATCH : 2 * BATCH])
    sys.setprofile(note)
    try:
        await sync.apply(waiting[2 * BATCH :])
    finally:
        sys.setprofile(None)
    assert count / BATCH < 480, count / BATCH
