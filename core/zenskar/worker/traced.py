"""The work of a worker with its spans. This module needs the extra `otel`."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import orjson
import structlog
from opentelemetry.trace import Span
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.bus.port import Delivery
from zenskar.db import intents
from zenskar.db.driver.engine import each_alone
from zenskar.errors import Unavailable
from zenskar.model.envelope import INBOUND, OUTBOUND, Envelope
from zenskar.model.observation import Observation
from zenskar.sync.context import SyncContext
from zenskar.sync.inbound.apply import Applied, InboundSync
from zenskar.sync.outbound.calls import Call, Caller
from zenskar.sync.outbound.push import OutboundSync
from zenskar.sync.work.job_result import Ack, Acked, JobResult, Nack, Park
from zenskar.telemetry.tracing import Message, Tracing, trace_id_of, traceparent_of
from zenskar.worker.parts import WorkerParts
from zenskar.worker.relay import Relay

_RESULTS = {Ack: "ack", Acked: "ack", Nack: "nack", Park: "park"}


class TracedOutboundSync(OutboundSync):
    """Records a span for each outbound message."""

    def __init__(self, tracing: Tracing, context: SyncContext, *parts: Any, **more: Any) -> None:
        super().__init__(context, *parts, **more)
        self._tracing = tracing

    async def process(self, envelope: Envelope, delivery: Delivery) -> JobResult:
        """Process a message within its span."""
        about = {"zenskar.attempt": delivery.attempts, **_attributes(envelope)}
        message = Message(OUTBOUND, envelope.traceparent, about)
        with self._tracing.processing(message) as span:
            structlog.contextvars.bind_contextvars(trace_id=trace_id_of(span))
            result = await super().process(_within(span, envelope), delivery)
            span.set_attribute("zenskar.result", _RESULTS[type(result)])
            return result


class TracedCaller(Caller):
    """Records a span for each call to an external system."""

    def __init__(self, tracing: Tracing, context: SyncContext, *, timeout_seconds: float) -> None:
        super().__init__(context, timeout_seconds=timeout_seconds)
        self._tracing = tracing

    async def make(self, call: Call) -> Observation | None:
        """Make a call within its span."""
        about = {
            "zenskar.source_system": call.source,
            "zenskar.entity_type": call.entity_type,
            "zenskar.push_id": call.intent_id,
        }
        with self._tracing.call(f"{call.step.value} {call.source}", about):
            return await super().make(call)


class TracedInboundSync(InboundSync):
    """Records a span for each inbound event, within the trace of the push that caused it."""

    def __init__(self, tracing: Tracing, context: SyncContext) -> None:
        super().__init__(context)
        self._tracing = tracing
        self._engine = context.engine

    async def apply(
        self,
        envelopes: Sequence[Envelope],
        *,
        within: Callable[[AsyncConnection], Awaitable[None]] | None = None,
    ) -> tuple[list[Applied], bool]:
        """Apply envelopes within their spans."""
        origins = await self._origins(envelopes)
        messages = [_inbound(each, origins) for each in envelopes]
        with self._tracing.processing_all(messages) as spans:
            own = [_within(s, e) for s, e in zip(spans, envelopes, strict=True)]
            by_id = {each.id: span for span, each in zip(spans, own, strict=True)}
            applied, followed = await super().apply(own, within=within)
            for each in applied:
                by_id[each.envelope.id].set_attribute("zenskar.verdict", str(each.verdict))
            return applied, followed

    async def _origins(self, envelopes: Sequence[Envelope]) -> dict[str, str]:
        """Return the traces of our own pushes that these events show."""
        keys = {key for e in envelopes if (key := e.data.get("origin_key")) is not None}
        if not keys:
            return {}
        try:
            return await each_alone(self._engine, lambda db: intents.traceparents(db, sorted(keys)))
        except Unavailable:
            return {}


class TracedRelay(Relay):
    """Records a span for each message of a trace that moves from the outbox to Kafka."""

    def __init__(self, tracing: Tracing, *parts: Any) -> None:
        super().__init__(*parts)
        self._tracing = tracing

    async def _move(self, deliveries: Sequence[Delivery]) -> None:
        traced = [(each, _traceparent(each.value)) for each in deliveries]
        messages = [Message(d.topic, parent, {}) for d, parent in traced if parent is not None]
        with self._tracing.sending(messages):
            await super()._move(deliveries)


def traced_parts(tracing: Tracing) -> WorkerParts:
    """Return the parts of a worker that record spans."""
    return WorkerParts(
        partial(TracedCaller, tracing),
        partial(TracedInboundSync, tracing),
        partial(TracedOutboundSync, tracing),
        partial(TracedRelay, tracing),
    )


def _inbound(envelope: Envelope, origins: dict[str, str]) -> Message:
    about = {"zenskar.received_at": envelope.time, **_attributes(envelope)}
    origin = origins.get(envelope.data.get("origin_key") or "")
    if origin is None:
        return Message(INBOUND, envelope.traceparent, about)
    return Message(INBOUND, origin, about, link=envelope.traceparent)


def _attributes(envelope: Envelope) -> dict[str, str | float]:
    since = datetime.fromisoformat(envelope.time)
    return {
        "messaging.message.id": envelope.id,
        "zenskar.source_system": envelope.data["source_system"],
        "zenskar.correlation_id": envelope.correlation_id,
        "zenskar.waited_seconds": max(0.0, (datetime.now(since.tzinfo) - since).total_seconds()),
    }


def _within(span: Span, envelope: Envelope) -> Envelope:
    return replace(envelope, traceparent=traceparent_of(span))


def _traceparent(value: bytes) -> str | None:
    try:
        found = orjson.loads(value).get("traceparent")
    except (orjson.JSONDecodeError, AttributeError):
        return None
    return found if isinstance(found, str) else None
