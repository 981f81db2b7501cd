"""Whether spans are recorded, by the standard variables of OpenTelemetry."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from zenskar.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from zenskar.telemetry.tracing import Tracing

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HEADERS = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
_HEADER = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\s*=[\x20-\x7e]*")
_FLUSH_SECONDS = 3.0
_EXPORTERS = "opentelemetry_traces_exporter"


@asynccontextmanager
async def recorded_spans(
    variables: Mapping[str, str], service: str
) -> AsyncIterator["Tracing | None"]:
    """Yield what records the spans of a service, None unless the variables name an exporter.

    The spans that wait are exported at the end, within 3 seconds. Raises `ConfigurationError`
    without the extra `otel`, for an exporter that is not installed, and for a wrong variable.
    """
    if (name := exporter_name(variables)) is None:
        yield None
        return
    try:
        from zenskar.telemetry.tracing import Tracing, provider_of
    except ModuleNotFoundError:
        text = "the variables of OpenTelemetry name an exporter: install zenskar[otel], or set "
        raise ConfigurationError(f"{text}OTEL_SDK_DISABLED=true") from None
    _check_headers(variables)
    try:
        provider = provider_of(_exporter(name), service)
    except ValueError as error:
        raise ConfigurationError(f"a variable of OpenTelemetry is wrong: {error}") from None
    try:
        yield Tracing(provider)
    finally:
        await _end_within(provider.shutdown, _FLUSH_SECONDS)


async def _end_within(shutdown: Callable[[], None], seconds: float) -> None:
    """Export the last spans; without an answer of the collector in time, drop them."""
    ending = threading.Thread(target=shutdown, daemon=True)
    ending.start()
    await asyncio.to_thread(ending.join, seconds)


def exporter_name(variables: Mapping[str, str]) -> str | None:
    """Return the name of the exporter of spans, None when no spans are recorded."""
    if variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    named = variables.get("OTEL_TRACES_EXPORTER", "").strip()
    if not named:
        named = "otlp" if any(variables.get(each) for each in _ENDPOINTS) else "none"
    if named == "otlp":
        protocols = (variables[each] for each in _PROTOCOLS if variables.get(each))
        return "otlp_proto_grpc" if next(protocols, "") == "grpc" else "otlp_proto_http"
    return None if named == "none" else named


def _check_headers(variables: Mapping[str, str]) -> None:
    """Raise `ConfigurationError` for wrong headers: the library would log them with their keys."""
    for name in _HEADERS:
        given = (part for part in variables.get(name, "").split(",") if part.strip())
        if not all(_HEADER.fullmatch(part.strip()) for part in given):
            raise ConfigurationError(f"{name} must be NAME=VALUE, separated by commas")


def _exporter(name: str) -> "SpanExporter":
    found = entry_points(group=_EXPORTERS, name=name)
    if not found:
        known = ", ".join(sorted(entry_points(group=_EXPORTERS).names))
        raise ConfigurationError(f"no exporter of spans is named {name}; installed are {known}")
    exporter: SpanExporter = next(iter(found)).load()()
    return exporter
