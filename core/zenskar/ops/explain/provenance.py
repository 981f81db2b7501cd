"""Follow the fields of a record through its history: old values, versions, and writers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zenskar.model.fields import Fields
from zenskar.ops.explain.model import FieldDiff, HistoryStep, Provenance


@dataclass(slots=True)
class _Writer:
    place: int
    value: Any
    held: list[int] = field(default_factory=list)


class FieldProvenance:
    """The record as the history shows it. `complete`: the history begins with its creation."""

    def __init__(self, *, complete: bool) -> None:
        self.version: int | None = 0 if complete else None
        self.deleted = False
        self.missing: list[int] = []
        self._sure = complete
        self._known: dict[str, Any] = {}
        self._writers: dict[str, _Writer] = {}

    def reach(self, version: int | None) -> int | None:
        """Go to the next version; a skipped version makes the old values uncertain."""
        expected = None if self.version is None else self.version + 1
        self.version = version or expected
        if self.version and expected and self.version > expected:
            self.missing += range(expected, self.version)
            self._sure = False
            self._known.clear()
        return self.version

    def write(
        self, place: int, changes: Mapping[str, Any], before: Mapping[str, Any] | None = None
    ) -> tuple[FieldDiff, ...]:
        """Apply changes; `before` are old values that the history entry holds."""
        diffs = tuple(self._diff(path, value, before or {}) for path, value in changes.items())
        for path, value in changes.items():
            self._known[path] = value
            self._writers[path] = _Writer(place, value)
        return diffs

    def hold(self, place: int, path: str) -> None:
        """Record that a value won a conflict."""
        if path in self._writers:
            self._writers[path].held.append(place)

    def provenance(
        self, present: Fields, steps: Sequence[HistoryStep], numbers: Mapping[int, int]
    ) -> tuple[Provenance, ...]:
        """Return for each field the step, by place, that gave it its present value."""
        paths = sorted({*present, *self._writers})
        return tuple(self._origin(path, present.get(path), steps, numbers) for path in paths)

    def _origin(
        self, path: str, value: Any, steps: Sequence[HistoryStep], numbers: Mapping[int, int]
    ) -> Provenance:
        writer = self._writers.get(path)
        if writer is None or writer.value != value:
            return Provenance(path, value)
        step = steps[writer.place]
        return Provenance(
            path,
            value,
            step=numbers[writer.place],
            at=step.at,
            kind=step.kind,
            source_system=step.source_system,
            event_id=step.event_id,
            correlation_id=step.correlation_id,
            held_in=tuple(numbers[place] for place in writer.held),
        )

    def _diff(self, path: str, after: Any, before: Mapping[str, Any]) -> FieldDiff:
        if path in before:
            return FieldDiff(path, before[path], after)
        known = self._sure or path in self._known
        return FieldDiff(path, self._known.get(path), after, known)
