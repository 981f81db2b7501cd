"""Spans are recorded only where OpenTelemetry's own variables name an exporter."""

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.support.spans import id_of, parent_of, recorded, trace_of
from zenskar.errors import CallFailed, ConfigurationError, Failure, FailureKind
from zenskar.telemetry.tracing import Message, provider_of, traceparent_of
from zenskar.telemetry.tracing_setup import exporter_name, recorded_spans

ENDPOINT = "http://127.0.0.1:4318"
UNTRACED = """
import sys
import zenskar.cli.servers, zenskar.cli.dev.dev_server, zenskar.runtime, zenskar.api.app
import zenskar.worker.parts
sys.exit(any(name.startswith(("opentelemetry", "sentry_sdk")) for name in sys.modules))
"""


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, None),
        ({"OTEL_SERVICE_NAME": "catalog"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT}, "otlp_proto_http"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ENDPOINT}, "otlp_proto_http"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "otlp_proto_http"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "otlp_proto_grpc",
        ),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT}, None),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT}, None),
    ],
)
def test_the_standard_variables_name_the_exporter(
    variables: Mapping[str, str], name: str | None
) -> None:
    assert exporter_name(variables) == name


async def test_nothing_is_recorded_without_an_exporter() -> None:
    async with recorded_spans({}, "zenskar-api") as tracing:
        assert tracing is None


async def test_an_exporter_that_is_not_installed_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="installed are console"):
        async with recorded_spans({"OTEL_TRACES_EXPORTER": "zipkin"}, "zenskar-api"):
            pass


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "-1"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "tenant=a,api-key S3CRET"),
    ],
)
async def test_a_wrong_variable_stops_the_start_without_its_text(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    with pytest.raises(ConfigurationError) as raised:
        async with recorded_spans(os.environ, "zenskar-api"):
            pass
    assert "S3CRET" not in str(raised.value)


async def test_a_missing_extra_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zenskar.telemetry.tracing", None)
    with pytest.raises(ConfigurationError, match=r"install zenskar\[otel\]"):
        async with recorded_spans({"OTEL_TRACES_EXPORTER": "console"}, "zenskar-api"):
            pass


def test_a_process_without_spans_and_reports_imports_neither_library() -> None:
    subprocess.run([sys.executable, "-c", UNTRACED], check=True, timeout=120)


def test_spans_are_exported_under_the_name_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    named = provider_of(InMemorySpanExporter(), "zenskar-api")
    assert named.resource.attributes["service.name"] == "zenskar-api"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "catalog")
    assert provider_of(InMemorySpanExporter(), "x").resource.attributes["service.name"] == "catalog"


def test_a_span_of_a_message_continues_its_trace_and_names_its_failure() -> None:
    failure = Failure(FailureKind.TRANSIENT, "no room for ada@example.com")
    with recorded() as spans:
        with spans.tracing.processing(Message("sync.outbound", None, {})) as first:
            sent = traceparent_of(first)
        with pytest.raises(CallFailed), spans.tracing.processing(Message("again", sent, {})):
            raise CallFailed(failure)
        (before,), (after,) = spans.named("process sync.outbound"), spans.named("process again")
    assert trace_of(after) == trace_of(before)
    assert parent_of(after) == id_of(before)
    assert (after.attributes or {})["error.type"] == "transient"
    assert "ada@example.com" not in spans.text()
