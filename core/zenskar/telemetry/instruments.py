"""Counters and histograms for what happens thousands of times a second.

prometheus_client's own take a lock for each number, of which a request changes four. Of these,
each is written by one thread, and its registry shows them like its own.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

C = TypeVar("C")


class Count:
    """How often something happened."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, times: int = 1) -> None:
        """Count it."""
        self.value += times


class Times:
    """How often something took how long; `bounds` are in seconds, and ascend."""

    __slots__ = ("_bounds", "numbers", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.numbers = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count it. A bound belongs to what is below it, as Prometheus has it."""
        self.numbers[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds


class Instrument(Collector, ABC, Generic[C]):
    """What is measured under a name, apart for each value of its labels."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], new: Callable[[], C], kind: str
    ) -> None:
        self.name, self.text, self.label_names, self.kind = name, text, tuple(labels), kind
        self._new = new
        self._found: dict[tuple[str, ...], C] = {}

    def labels(self, *values: str) -> C:
        """Return what measures for these values of the labels."""
        found = self._found.get(values)
        if found is None:
            if len(values) != len(self.label_names):
                raise ValueError(f"{self.name} has the labels {', '.join(self.label_names)}")
            found = self._found[values] = self._new()
        return found

    def describe(self) -> Iterable[Metric]:
        """Return what it is called: a registry takes a name once."""
        return [self._family({})]

    def collect(self) -> Iterable[Metric]:
        """Return what was measured."""
        # A copy: another thread may be first to use some labels.
        return [self._family(dict(self._found))]

    @abstractmethod
    def _family(self, found: dict[tuple[str, ...], C]) -> Metric: ...


class Counter(Instrument[Count]):
    """Counts."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry
    ) -> None:
        super().__init__(name, text, labels, Count, "counter")
        registry.register(self)

    def _family(self, found: dict[tuple[str, ...], Count]) -> Metric:
        family = CounterMetricFamily(self.name, self.text, labels=self.label_names)
        for values, count in found.items():
            family.add_metric(values, count.value)
        return family


class Histogram(Instrument[Times]):
    """Counts durations by how long they were."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        registry: CollectorRegistry,
        bounds: Sequence[float],
    ) -> None:
        super().__init__(name, text, labels, lambda: Times(bounds), "histogram")
        self._names = (*(str(float(bound)) for bound in bounds), "+Inf")
        registry.register(self)

    def _family(self, found: dict[tuple[str, ...], Times]) -> Metric:
        family = HistogramMetricFamily(self.name, self.text, labels=self.label_names)
        for values, times in found.items():
            buckets = list(zip(self._names, accumulate(times.numbers), strict=True))
            family.add_metric(values, buckets, times.total)
        return family
