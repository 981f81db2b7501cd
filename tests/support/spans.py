"""Spans that a test records in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from zenskar.telemetry.tracing import Tracing


@dataclass
class Spans:
    """A recorder of spans, and the spans that have ended."""

    tracing: Tracing
    exporter: InMemorySpanExporter = field(repr=False)

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the ended spans with this name, in the order of their start."""
        found = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return sorted(found, key=lambda span: span.start_time or 0)

    def text(self) -> str:
        """Return everything that is exported."""
        return "\n".join(span.to_json() for span in self.exporter.get_finished_spans())


@contextmanager
def recorded() -> Iterator[Spans]:
    """Record spans in memory."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield Spans(Tracing(provider), exporter)
    provider.shutdown()


def trace_of(span: ReadableSpan) -> int:
    """Return the id of a span's trace."""
    assert span.context is not None
    return span.context.trace_id


def parent_of(span: ReadableSpan) -> int | None:
    """Return the id of the span that a span belongs to."""
    return span.parent.span_id if span.parent is not None else None


def id_of(span: ReadableSpan) -> int:
    """Return the id of a span."""
    assert span.context is not None
    return span.context.span_id
