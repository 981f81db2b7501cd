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
from zenskar.db.workers import ROLES
from zenskar.model.envelope import INBOUND, OUTBOUND
from zenskar.ops.system_state import SystemReading


class StateGauge(NamedTuple):
    """A gauge of the state: its name, its description and its labels."""

    name: str
    description: str
    labels: tuple[str, ...] = ()


UP = StateGauge("zenskar_up", "Whether a part of /health/ready is ok", ("part",))
PAUSED = StateGauge(
    "zenskar_connection_paused", "Whether a connection is paused, and why", ("source", "reason")
)
BACKLOG = StateGauge(
    "zenskar_backlog", "Unfinished sync events, without dead letters", ("source", "direction")
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
TABLE_BYTES = StateGauge(
    "zenskar_table_bytes", "Space that a table takes with its indexes", ("table",)
)
GAUGES = (
    *(UP, PAUSED, BACKLOG, BACKLOG_AGE, DEAD, WORKERS),
    *(OUTBOX, OUTBOX_AGE, DELETES, DELETE_LIMIT, TABLE_BYTES),
)

_Samples = dict[tuple[str, ...], float]
_DEAD = "dead"
_STATES = ("due", "delayed", "parked", "claimed")
_DIRECTIONS = ("inbound", "outbound")


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
    yield BACKLOG, _blank(sources, _DIRECTIONS) | _total(waiting)
    yield BACKLOG_AGE, _blank(sources, _DIRECTIONS) | _oldest(waiting)
    yield DEAD, _blank(sources, ("",)) | _by_kind(dead)
    yield WORKERS, _by_name({role: state.workers.get(role, 0) for role in ROLES})
    yield OUTBOX, _blank(topics, _STATES) | {(t.topic, t.state): t.count for t in state.topics}
    due = {t.topic: t.oldest_seconds for t in state.topics if t.state == "due"}
    yield OUTBOX_AGE, _by_name(dict.fromkeys(topics, 0.0) | due)
    yield DELETES, _by_name({name: each.recent for name, each in state.deletes.items()})
    yield DELETE_LIMIT, _by_name({name: each.limit for name, each in state.deletes.items()})
    yield TABLE_BYTES, _by_name(state.table_bytes)


def _blank(first: Iterable[str], second: Iterable[str]) -> _Samples:
    return dict.fromkeys(product(first, second), 0.0)


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
        found[each.source, each.direction] += each.count
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
