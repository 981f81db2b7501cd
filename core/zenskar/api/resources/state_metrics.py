"""Turn the state of the system into gauges, from one reading of the database for each scrape."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from zenskar.api.health import HealthReport, HealthStatus
from zenskar.db.events.event_counts import EventCount
from zenskar.db.reconcile_runs import Comparison
from zenskar.db.workers import ROLES
from zenskar.model.envelope import INBOUND, OUTBOUND
from zenskar.ops.state.system_state import SystemReading
from zenskar.sync.reconcile.drift import DriftKind


class StateGauge(NamedTuple):
    """A gauge of the state: its name, its description and its labels."""

    name: str
    description: str
    labels: tuple[str, ...] = ()


READY = StateGauge("zenskar_ready", "Whether /health/ready answers 200")
UP = StateGauge("zenskar_up", "Whether a part of /health/ready is ok", ("part",))
PAUSED = StateGauge(
    "zenskar_connection_paused", "Whether a connection is paused, and why", ("source", "reason")
)
HELD = StateGauge(
    "zenskar_connection_held_seconds",
    "Seconds until the calls of a rate-limited connection resume",
    ("source",),
)
BACKLOG = StateGauge(
    "zenskar_backlog",
    "Unfinished sync events, without dead letters",
    ("source", "direction", "status"),
)
BACKLOG_AGE = StateGauge(
    "zenskar_backlog_oldest_seconds",
    "Age of the oldest unfinished sync event",
    ("source", "direction"),
)
DEAD = StateGauge(
    "zenskar_dead_letters_waiting", "Dead letters that wait for a person", ("source", "kind")
)
WORKERS = StateGauge("zenskar_workers", "Workers with a heartbeat, by role", ("role",))
OUTBOX = StateGauge(
    "zenskar_outbox_depth",
    "Messages in the outbox (due, delayed, parked, claimed)",
    ("topic", "state"),
)
OUTBOX_AGE = StateGauge(
    "zenskar_outbox_oldest_seconds", "How long the oldest message of the outbox is due", ("topic",)
)
DELETES = StateGauge(
    "zenskar_delete_guard_used", "Recent deletes that the delete guard counts", ("source",)
)
DELETE_LIMIT = StateGauge(
    "zenskar_delete_guard_limit", "Deletes that the delete guard allows, 0 without one", ("source",)
)
POLLED = StateGauge(
    "zenskar_last_poll_timestamp_seconds",
    "Unix time at which a feed was last read to its end",
    ("source",),
)
POLL_FAILURES = StateGauge(
    "zenskar_poll_failures", "Polls of a feed that failed in a row", ("source",)
)
DIFFERENCES = StateGauge(
    "zenskar_reconcile_differences",
    "Differences of the last complete comparison (found, remaining)",
    ("source", "entity_type", "kind", "state"),
)
NOT_READ = StateGauge(
    "zenskar_reconcile_not_read",
    "Objects that the last complete comparison could not read",
    ("source", "entity_type"),
)
COMPARED = StateGauge(
    "zenskar_reconcile_last_run_timestamp_seconds",
    "Unix time at which the last complete comparison ended",
    ("source", "entity_type"),
)
TABLE_BYTES = StateGauge(
    "zenskar_table_bytes", "Space that a table takes with its indexes", ("table",)
)
GAUGES = (
    *(READY, UP, PAUSED, HELD, BACKLOG, BACKLOG_AGE, DEAD, WORKERS),
    *(OUTBOX, OUTBOX_AGE, DELETES, DELETE_LIMIT, POLLED, POLL_FAILURES),
    *(DIFFERENCES, NOT_READ, COMPARED, TABLE_BYTES),
)

_Samples = dict[tuple[str, ...], float]
_DEAD, _READY = "dead", 200
_STATES = ("due", "delayed", "parked", "claimed")
_DIRECTIONS = ("inbound", "outbound")
_WAITING = ("pending", "processing", "retrying")


@dataclass(slots=True, eq=False)
class StateMetrics(Collector):
    """Shows the last reading. A gauge whose state could not be read is absent, never old."""

    health: HealthReport | None = None
    state: SystemReading | None = None

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return the names of the gauges."""
        return [_family(gauge, {}) for gauge in GAUGES]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges of the last reading."""
        if self.health is not None:
            yield _family(READY, {(): float(self.health.http_status == _READY)})
            parts = self.health.checks.items()
            yield _family(UP, {(n,): float(c.status is HealthStatus.OK) for n, c in parts})
        if self.state is not None:
            for gauge, samples in _samples(self.state):
                yield _family(gauge, samples)


def _samples(state: SystemReading) -> Iterator[tuple[StateGauge, _Samples]]:
    sources, topics = tuple(state.deletes), (INBOUND, OUTBOUND)
    waiting = [each for each in state.events if each.status != _DEAD]
    dead = [each for each in state.events if each.status == _DEAD]
    known = state.connections.items()
    yield PAUSED, {(name, each.reason or ""): float(each.paused) for name, each in known}
    yield HELD, _by_name({name: each.held_seconds for name, each in known})
    yield BACKLOG, _blank(sources, _DIRECTIONS, _WAITING) | _total(waiting)
    yield BACKLOG_AGE, _blank(sources, _DIRECTIONS) | _oldest(waiting)
    yield DEAD, _blank(sources, ("",)) | _by_kind(dead)
    yield WORKERS, _by_name({role: state.workers.get(role, 0) for role in ROLES})
    yield OUTBOX, _blank(topics, _STATES) | {(t.topic, t.state): t.count for t in state.topics}
    due = {t.topic: t.oldest_seconds for t in state.topics if t.state == "due"}
    yield OUTBOX_AGE, _by_name(dict.fromkeys(topics, 0.0) | due)
    yield DELETES, _by_name({name: each.recent for name, each in state.deletes.items()})
    yield DELETE_LIMIT, _by_name({name: each.limit for name, each in state.deletes.items()})
    ended = {n: f.polled_at.timestamp() for n, f in state.feeds.items() if f.polled_at is not None}
    yield POLLED, _by_name(ended)
    yield POLL_FAILURES, _by_name({name: feed.failures for name, feed in state.feeds.items()})
    yield DIFFERENCES, _differences(state.comparisons)
    compared = {(each.source, each.entity_type): each for each in state.comparisons}
    yield NOT_READ, {about: float(each.not_read) for about, each in compared.items()}
    yield COMPARED, {about: each.ended for about, each in compared.items()}
    yield TABLE_BYTES, _by_name(state.table_bytes)


def _blank(*labels: Iterable[str]) -> _Samples:
    return dict.fromkeys(product(*labels), 0.0)


def _differences(comparisons: Iterable[Comparison]) -> _Samples:
    return {
        (each.source, each.entity_type, kind.value, state): float(counts.get(kind.value, 0))
        for each in comparisons
        for state, counts in (("found", each.found), ("remaining", each.remaining))
        for kind in DriftKind
    }


def _by_name(values: Mapping[str, float]) -> _Samples:
    return {(name,): value for name, value in values.items()}


def _by_kind(events: Iterable[EventCount]) -> _Samples:
    found: _Samples = defaultdict(float)
    for each in events:
        found[each.source, each.error_kind] += each.count
    return found


def _total(events: Iterable[EventCount]) -> _Samples:
    found: _Samples = defaultdict(float)
    for each in events:
        found[each.source, each.direction, each.status] += each.count
    return found


def _oldest(events: Iterable[EventCount]) -> _Samples:
    found: _Samples = defaultdict(float)
    for each in events:
        key = each.source, each.direction
        found[key] = max(found[key], each.oldest_seconds)
    return found


def _family(gauge: StateGauge, samples: _Samples) -> GaugeMetricFamily:
    family = GaugeMetricFamily(gauge.name, gauge.description, labels=gauge.labels)
    for labels, value in samples.items():
        family.add_metric(labels, value)
    return family
