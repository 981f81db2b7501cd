"""Metrics of a runtime, as Prometheus reads them."""

from prometheus_client import generate_latest

from zenskar.telemetry.metrics import Metrics


def test_each_runtime_has_its_own_registry() -> None:
    first, second = Metrics(), Metrics()
    first.resent.labels("sync.outbound.push").inc(40)
    labels = {"topic": "sync.outbound.push"}
    assert first.registry.get_sample_value("zenskar_events_resent_total", labels) == 40
    assert second.registry.get_sample_value("zenskar_events_resent_total", labels) is None


def test_durations_are_counted_up_to_each_bound() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.0011, 300, 301):
        metrics.inbound_seconds.labels("stripe").observe(seconds)
    page = generate_latest(metrics.registry).decode()
    buckets = [line for line in page.splitlines() if "zenskar_inbound_seconds_bucket" in line]
    counts = {line.split('le="')[1].split('"')[0]: line.split()[-1] for line in buckets}
    assert len(counts) == 17
    assert (counts["0.001"], counts["0.0025"], counts["300.0"]) == ("1.0", "2.0", "3.0")
    assert counts["+Inf"] == "4.0"
