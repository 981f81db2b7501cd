"""Spans of the work of a process, recorded with OpenTelemetry.

This module needs the extra `otel`. A process imports it only while spans are recorded.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from zenskar.errors import CallFailed

Attributes = Mapping[str, str | int | float]
_W3C = TraceContextTextMapPropagator()
_NAME = "zenskar"


class Message(NamedTuple):
    """A message that a span is about: its topic, the `traceparent` in it, and more attributes.

    The span belongs to the trace of `traceparent`, and has a link to the span of `link`.
    """

    topic: str
    traceparent: str | None
    attributes: Attributes
    link: str | None = None


class Tracing:
    """Records the spans of a process.

    A span holds ids and names only. The text of an error may hold personal data, so a span has the
    kind of a failure instead.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer(_NAME)

    @contextmanager
    def request(
        self, name: str, headers: Mapping[str, str], attributes: Attributes, *, public: bool
    ) -> Iterator[Span]:
        """Record a request. Anyone may send a `public` request, so it begins a trace of its own."""
        sent = propagate.extract(headers)
        context, links = (Context(), _links(sent)) if public else (sent, [])
        with self._tracer.start_as_current_span(
            name,
            context,
            SpanKind.SERVER,
            attributes,
            links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield span

    @contextmanager
    def processing(self, message: Message) -> Iterator[Span]:
        """Record how one message is processed; calls within the block belong to it."""
        with (
            self._all("process", SpanKind.CONSUMER, [message]) as (span,),
            trace.use_span(span, record_exception=False, set_status_on_exception=False),
        ):
            yield span

    @contextmanager
    def processing_all(self, messages: Sequence[Message]) -> Iterator[list[Span]]:
        """Record how a batch is processed, with a span for each message."""
        with self._all("process", SpanKind.CONSUMER, messages) as spans:
            yield spans

    @contextmanager
    def sending(self, messages: Sequence[Message]) -> Iterator[None]:
        """Record how messages are moved to the log, with a span for each message."""
        with self._all("send", SpanKind.PRODUCER, messages):
            yield

    @contextmanager
    def call(self, name: str, attributes: Attributes) -> Iterator[None]:
        """Record a call to an external system, within the span of the present message."""
        with self._tracer.start_as_current_span(
            name,
            kind=SpanKind.CLIENT,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                _fail(span, error)
                raise

    @contextmanager
    def _all(self, verb: str, kind: SpanKind, messages: Sequence[Message]) -> Iterator[list[Span]]:
        spans = [
            self._tracer.start_span(
                f"{verb} {each.topic}",
                _context(each.traceparent),
                kind,
                {"messaging.destination.name": each.topic, **each.attributes},
                _links(_context(each.link)),
            )
            for each in messages
        ]
        try:
            yield spans
        except BaseException as error:
            for span in spans:
                _fail(span, error)
            raise
        finally:
            for span in spans:
                span.end()


def traceparent_of(span: Span) -> str | None:
    """Return the W3C form of a span's context, which messages carry."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier.get("traceparent")


def trace_id_of(span: Span) -> str:
    """Return the id of a span's trace, for log lines."""
    return trace.format_trace_id(span.get_span_context().trace_id)


def _context(traceparent: str | None) -> Context:
    return _W3C.extract({"traceparent": traceparent}) if traceparent else Context()


def _links(context: Context) -> list[Link]:
    linked = trace.get_current_span(context).get_span_context()
    return [Link(linked)] if linked.is_valid else []


def _fail(span: Span, error: BaseException) -> None:
    kind = error.failure.kind.value if isinstance(error, CallFailed) else type(error).__name__
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))


def provider_of(exporter: SpanExporter, service: str) -> TracerProvider:
    """Return a provider that exports in batches; a service without a name gets this one."""
    named = "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    own = {} if named or os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: service}
    provider = TracerProvider(resource=Resource.create(own), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
