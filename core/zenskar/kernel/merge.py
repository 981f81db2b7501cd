"""Three-way merge per field against the mapping's base."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from zenskar.kernel.policy import Conflict, ConflictPolicy, MergePolicy, Side
from zenskar.model.fields import FieldChanges, Fields, difference
from zenskar.model.observation import Observation
from zenskar.model.record import OPEN, Intent, Record


@dataclass(frozen=True, slots=True)
class Merge:
    """What was seen against the base, what the record takes over, and what was in conflict."""

    seen: FieldChanges
    changes: FieldChanges
    conflicts: tuple[Conflict, ...] = ()


def merge(
    record: Record,
    base: Fields,
    seen: Observation,
    intents: Iterable[Intent],
    policy: MergePolicy,
) -> Merge:
    """Merge what is seen into the record; the base then becomes what was seen."""
    known, shown = tuple(intents), seen.fields or {}
    differs = difference(base, shown)
    named = tuple(i for i in known if i.id in {seen.intent_id, seen.origin_key})
    sent = named[0].changes if named else {}
    written = (*named, *(i for i in known if i.state in OPEN))
    news = {
        path: external
        for path, external in {**differs, **_rewritten(sent, shown)}.items()
        if external != record.fields.get(path)
        and not wrote(written, path, external)
        and (path not in sent or _refused(record, path, sent))
    }
    conflicts = tuple(
        _settle(record, base, path, seen, policy, sent)
        for path in news
        if record.fields.get(path) != base.get(path) or _refused(record, path, sent)
    )
    if not conflicts:
        return Merge(differs, news)
    kept = {conflict.path for conflict in conflicts if conflict.winner is Side.INTERNAL}
    changes = {path: value for path, value in news.items() if path not in kept}
    return Merge(differs, changes, conflicts)


def wrote(intents: Iterable[Intent], path: str, value: Any) -> bool:
    """Rule 5: whether one of these pushes wrote exactly this value to this field."""
    return any(path in intent.changes and intent.changes[path] == value for intent in intents)


def _rewritten(sent: FieldChanges, shown: Fields) -> dict[str, Any]:
    """Where the push whose effect is seen shows another value than it was sent."""
    return {path: shown.get(path) for path, value in sent.items() if shown.get(path) != value}


def _refused(record: Record, path: str, sent: FieldChanges) -> bool:
    """Whether the record still holds what was sent, so that sending it again would never end.

    When it was edited since, the rewritten value is still our own write, and not an edit (rule 5).
    """
    return path in sent and sent[path] == record.fields.get(path)


def _settle(
    record: Record,
    base: Fields,
    path: str,
    seen: Observation,
    policy: MergePolicy,
    sent: FieldChanges,
) -> Conflict:
    rule = None if _refused(record, path, sent) else policy.of(path)
    external_wins = (
        rule is None
        or rule is ConflictPolicy.EXTERNAL_WINS
        or (rule is ConflictPolicy.LATEST_WINS and seen.asof.low > record.updated_at)
    )
    return Conflict(
        path=path,
        base=base.get(path),
        internal=record.fields.get(path),
        external=(seen.fields or {}).get(path),
        winner=Side.EXTERNAL if external_wins else Side.INTERNAL,
        policy=rule,
    )
