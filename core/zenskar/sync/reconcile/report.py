"""The report of a reconcile run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from zenskar.sync.reconcile.drift import Drift, DriftKind
from zenskar.sync.reconcile.publisher import NotRead

_MOST_NOT_READ = 100
"""The number of unreadable objects in a report, for each kind; the log names all of them."""
_STORED = ("kind", "external_id", "record_id", "fields", "inward", "outward", "hidden")
"""The members of a difference in a checkpoint."""


@dataclass(frozen=True, slots=True)
class ReconcileProgress:
    """The progress of a long run; `total` is None while it is unknown."""

    phase: str
    done: int
    total: int | None = None
    found: int = 0


OnProgress = Callable[[ReconcileProgress], None]


def silent(_progress: ReconcileProgress) -> None:
    """Report no progress."""


@dataclass(frozen=True, slots=True)
class Example:
    """A difference, by ids and field pointers. `repaired` is None when no repair was tried."""

    kind: str
    external_id: str | None
    record_id: str | None
    fields: tuple[str, ...] = ()
    repaired: bool | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a run. `found` and `remaining` count differences by kind.

    `objects` counts the listed objects and `invalid` those that could not be read; `not_read`
    holds the first of each kind. `under_way` counts differences that workers are about to remove.
    `outside` counts records, and objects without a record, that the filter excludes. Unless
    `complete`, `problem` says why the run stopped, and the next run resumes there.
    """

    source: str
    entity_type: str
    complete: bool
    objects: int
    invalid: int
    under_way: int
    found: Mapping[str, int]
    remaining: Mapping[str, int]
    examples: tuple[Example, ...] = ()
    not_read: tuple[NotRead, ...] = ()
    problem: str | None = None
    outside: int = 0

    @property
    def clean(self) -> bool:
        """Whether every object was read, and no difference remains."""
        return not self.drifts and not self.invalid

    @property
    def drifts(self) -> int:
        """The number of differences that remain."""
        return sum(self.remaining.values())

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def add_not_read(known: list[dict[str, Any]], objects: Iterable[NotRead]) -> int:
    """Add the first objects of each kind; return the number of objects that were not known."""
    count = 0
    for each in map(asdict, objects):
        if any(_about(each) == _about(other) for other in known):
            continue
        count += 1
        if sum(other["kind"] == each["kind"] for other in known) < _MOST_NOT_READ:
            known.append(each)
    return count


def _about(not_read: Mapping[str, Any]) -> Any:
    return not_read["external_id"] or not_read["record_id"]


@dataclass(slots=True)
class Tally:
    """The counts of a run so far; stored in the checkpoint.

    `deleted` counts objects that were not listed and are proven deleted, `hidden` those that are
    not visible. `missing` is the operator's choice for them. `done` is the progress of the phase,
    `repairing` holds the differences whose repair has begun. `outside` counts objects without a
    record that the filter excludes, `records_outside` records.
    """

    objects: int = 0
    invalid: int = 0
    under_way: int = 0
    found: dict[str, int] = field(default_factory=dict)
    remaining: dict[str, int] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)
    not_read: list[dict[str, Any]] = field(default_factory=list)
    repair: bool = False
    missing: str | None = None
    deleted: int = 0
    hidden: int = 0
    done: int = 0
    repairing: list[dict[str, Any]] = field(default_factory=list)
    outside: int = 0
    records_outside: int = 0

    def begin(self, drifts: Iterable[Drift]) -> None:
        """Store the differences that are about to be repaired."""
        self.repairing = [{n: getattr(drift, n) for n in _STORED} for drift in drifts]

    def begun(self) -> list[Drift]:
        """Return the differences whose repair has begun and that are not counted yet."""
        return [
            Drift(**d | {"kind": DriftKind(d["kind"]), "fields": tuple(d["fields"])})
            for d in self.repairing
        ]

    def add(self, drifts: Iterable[Drift], remaining: Iterable[Drift], most_examples: int) -> None:
        """Count differences, and those that remain after a repair."""
        left, self.repairing = {drift.key for drift in remaining}, []
        for drift in drifts:
            kind, stays = drift.kind.value, drift.key in left
            self.found[kind] = self.found.get(kind, 0) + 1
            if stays:
                self.remaining[kind] = self.remaining.get(kind, 0) + 1
            if sum(example["kind"] == kind for example in self.examples) < most_examples:
                repaired = not stays if self.repair else None
                self.examples.append(asdict(_example(drift, repaired)))

    def add_not_read(self, objects: Iterable[NotRead]) -> None:
        """Count objects that cannot be read."""
        self.invalid += add_not_read(self.not_read, objects)

    def forget_drift(self) -> None:
        """Reset the counts of differences."""
        self.found, self.remaining, self.examples, self.under_way = {}, {}, [], 0
        self.repairing, self.done, self.records_outside = [], 0, 0

    def report(self, source: str, entity_type: str, problem: str | None = None) -> Report:
        """Return the report."""
        return Report(
            source=source,
            entity_type=entity_type,
            complete=problem is None,
            objects=self.objects,
            invalid=self.invalid,
            under_way=self.under_way,
            found=dict(self.found),
            remaining=dict(self.remaining),
            not_read=tuple(NotRead(**each) for each in self.not_read),
            examples=tuple(Example(**e | {"fields": tuple(e["fields"])}) for e in self.examples),
            problem=problem,
            outside=self.outside + self.records_outside,
        )


def _example(drift: Drift, repaired: bool | None) -> Example:
    return Example(drift.kind.value, drift.external_id, drift.record_id, drift.fields, repaired)
