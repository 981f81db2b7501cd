"""Hide the values of an explanation, for people who may see the state but no personal data."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from zenskar.ops.explain.model import (
    ConflictSeen,
    Explanation,
    FieldDiff,
    HistoryStep,
    SystemSnapshot,
)

HIDDEN = "•••"
"""The text in place of a value."""


def hidden(found: Explanation) -> Explanation:
    """Return an explanation whose fields have no values; the absence of a value is visible."""
    return replace(
        found,
        fields=_all(found.fields),
        systems=tuple(map(_system, found.systems)),
        provenance=tuple(replace(each, value=_one(each.value)) for each in found.provenance),
        steps=tuple(map(_step, found.steps)),
    )


def _one(value: Any) -> Any:
    return None if value is None else HIDDEN


def _all(values: Mapping[str, Any]) -> dict[str, Any]:
    return {path: _one(value) for path, value in values.items()}


def _diffs(diffs: Iterable[FieldDiff]) -> tuple[FieldDiff, ...]:
    return tuple(replace(each, before=_one(each.before), after=_one(each.after)) for each in diffs)


def _conflict(one: ConflictSeen) -> ConflictSeen:
    sides = _one(one.base), _one(one.internal), _one(one.external)
    return replace(one, base=sides[0], internal=sides[1], external=sides[2])


def _system(system: SystemSnapshot) -> SystemSnapshot:
    intents = tuple(replace(each, writes=_all(each.writes)) for each in system.open_intents)
    return replace(
        system,
        base=_all(system.base),
        differences=_diffs(system.differences),
        open_intents=intents,
    )


def _step(step: HistoryStep) -> HistoryStep:
    return replace(
        step,
        changes=_diffs(step.changes),
        writes=_all(step.writes),
        seen=_all(step.seen),
        shown=_all(step.shown),
        conflicts=tuple(map(_conflict, step.conflicts)),
        violations=tuple(replace(each, message=HIDDEN) for each in step.violations),
    )
