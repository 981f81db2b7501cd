"""Prometheus metrics. Each runtime has a registry, so no metric is global."""

import platform
from collections.abc import Iterable
from enum import StrEnum
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from zenskar.errors import FailureKind

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class WebhookRefusal(StrEnum):
    """The reason of a refused webhook."""

    HEADER = "header"
    SIGNATURE = "signature"
    BODY = "body"
    MEDIA_TYPE = "media_type"
    TOO_LARGE = "too_large"


class Metrics:
    """The metrics of a runtime; docs/metrics.md explains each."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.build = self._gauge(
            "zenskar_build_info", "Always 1, with the versions of the process", "version", "python"
        )
        self.build.labels(version("zenskar"), platform.python_version()).set(1)
        self.pool_in_use = self._gauge(
            "zenskar_db_pool_in_use", "Connections to the database that are in use"
        )
        self.pool_size = self._gauge(
            "zenskar_db_pool_size", "Connections to the database that this process may use"
        )
        self.pool_wait_seconds = self._histogram(
            "zenskar_db_pool_wait_seconds", "Time that was waited for a connection of the pool"
        )
        self.http_requests = self._counter(
            "zenskar_http_requests", "HTTP requests", "method", "route", "status"
        )
        self.http_seconds = self._histogram(
            "zenskar_http_request_seconds", "Time to answer an HTTP request", "method", "route"
        )
        self.webhooks = self._counter(
            "zenskar_webhooks",
            "Webhooks by result (accepted, refused, unavailable, challenge)",
            "source",
            "result",
            "reason",
        )
        self.last_webhook = self._gauge(
            "zenskar_last_webhook_timestamp_seconds",
            "Unix time at which this process last accepted a webhook",
            "source",
        )
        self.inbound_events = self._counter(
            "zenskar_inbound_events", "Inbound events by verdict", "source", "verdict"
        )
        self.inbound_seconds = self._histogram(
            "zenskar_inbound_seconds", "From a webhook's receipt to its commit", "source"
        )
        self.outbound_events = self._counter(
            "zenskar_outbound_events", "Outbound sync events by final status", "source", "status"
        )
        self.outbound_seconds = self._histogram(
            "zenskar_outbound_seconds", "From a change to its push being sent", "source"
        )
        self.calls = self._counter(
            "zenskar_calls",
            "Calls to external systems by hook and result",
            "source",
            "hook",
            "result",
        )
        self.call_seconds = self._histogram(
            "zenskar_call_seconds", "Duration of calls to external systems", "source", "hook"
        )
        self.conflicts = self._counter(
            "zenskar_conflicts", "Fields that both sides changed, by winner", "source", "winner"
        )
        self.dead = self._counter(
            "zenskar_dead_letters", "Operations that became dead letters", "source", "kind"
        )
        self.loop_blocked = self._counter(
            "zenskar_loop_blocked", "Blockages of the event loop, by plugin", "plugin"
        )
        self.broadcasts = self._counter(
            "zenskar_broadcasts",
            "Calls of broadcast hooks (ok, refused, failed, timed_out, dropped)",
            "plugin",
            "hook",
            "result",
        )
        self.consumer_failures = self._counter(
            "zenskar_consumer_failures",
            "Failed iterations of a consumer, by kind (unavailable, failed)",
            "consumer",
            "kind",
        )
        self.resent = self._counter(
            "zenskar_events_resent",
            "Sync events published again after their message was lost",
            "topic",
        )
        self.log_losses = self._counter(
            "zenskar_log_losses",
            "Detected losses of messages, by Kafka topic",
            "topic",
        )
        self.connection_off = self._gauge(
            "zenskar_connection_off",
            "Whether the integration of a connection does not work in this process",
            "source",
        )
        self.calls_held = self._counter(
            "zenskar_calls_held",
            "Calls held back because a call limit left none, by purpose",
            "source",
            "purpose",
        )
        self.call_limit = self._gauge(
            "zenskar_call_limit",
            "Calls that an external system allows in a period",
            "source",
            "limit",
            "seconds",
        )
        self.call_limit_used = self._gauge(
            "zenskar_call_limit_used",
            "Calls of the period that are used or taken by a process, when this one last took some",
            "source",
            "limit",
            "seconds",
        )
        self.consumer_stalled = self._gauge(
            "zenskar_consumer_stalled_seconds",
            "Seconds without progress of a consumer whose messages wait on Kafka",
            "consumer",
        )
        self.consumer_lag = self._gauge(
            "zenskar_consumer_lag", "Kafka messages that this worker has not processed yet", "topic"
        )
        self.clock_offset = self._gauge(
            "zenskar_clock_offset_seconds",
            "Seconds that an external system's clock is ahead of ours",
            "source",
        )

    def start_at_zero(self, sources: Iterable[str]) -> None:
        """Create the counters of these connections, so that their first increase is seen."""
        for source in sources:
            for result in ("accepted", "unavailable"):
                self.webhooks.labels(source, result, "")
            for reason in WebhookRefusal:
                self.webhooks.labels(source, "refused", reason.value)
            for status in ("succeeded", "dead"):
                self.outbound_events.labels(source, status)
            for winner in ("internal", "external"):
                self.conflicts.labels(source, winner)
            for kind in FailureKind:
                self.dead.labels(source, kind.value)

    def refused_webhooks(self, source: str) -> dict[str, int]:
        """Return the refused webhooks of a connection by reason, since this process started."""
        return {
            sample.labels["reason"]: int(sample.value)
            for metric in self.webhooks.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
            and (sample.labels["source"], sample.labels["result"]) == (source, "refused")
            and sample.value
        }

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=_SECONDS)
