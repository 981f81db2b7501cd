"""Our counters and histograms beside prometheus_client's own."""

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from zenskar.telemetry.instruments import Counter, Histogram

BOUNDS = (0.001, 0.25, 1, 10)


def shown(registry: CollectorRegistry) -> set[str]:
    """Return the lines, without when something was counted first, which ours do not tell."""
    lines = generate_latest(registry).decode().splitlines()
    return {line for line in lines if "_created" not in line}


def test_they_look_like_the_librarys_own() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    times = Histogram("took", "Time", ["what"], ours, BOUNDS)
    own_times = prometheus_client.Histogram(
        "took", "Time", ["what"], registry=theirs, buckets=BOUNDS
    )
    count = Counter("happened", "Times", ["what", "how"], ours)
    own_count = prometheus_client.Counter("happened", "Times", ["what", "how"], registry=theirs)
    for what in ("a", 'b"\n'):
        for seconds in (0.0, 0.001, 0.0011, 0.25, 1.0, 9.5, 10.0, 10.5, 4000.0):
            times.labels(what).observe(seconds)
            own_times.labels(what).observe(seconds)
        for _ in range(3):
            count.labels(what, "x").inc()
            own_count.labels(what, "x").inc()
        count.labels(what, "y").inc(40)
        own_count.labels(what, "y").inc(40)
    assert shown(ours) == shown(theirs)
    assert len(shown(ours)) > 20


def test_a_name_is_taken_once() -> None:
    registry = CollectorRegistry()
    Counter("happened", "Times", [], registry)
    with pytest.raises(ValueError, match="happened"):
        Histogram("happened", "Time", [], registry, BOUNDS)


def test_a_label_too_few_is_told() -> None:
    counter = Counter("happened", "Times", ["what", "how"], CollectorRegistry())
    with pytest.raises(ValueError, match="what, how"):
        counter.labels("a")
