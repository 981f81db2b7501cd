"""Three-way merge per field against the mapping's base."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from zenskar.kernel.policy import Conflict, ConflictPolicy, Ground, MergePolicy, Side
from zenskar.model.fields import FieldChanges, Fields, difference
from zenskar.model.interval import Interval
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import OPEN, Intent, IntentState, Record


@dataclass(frozen=True, slots=True)
class Merge:
    """The differences seen from the base, the changes to the record, and the conflicts.

    `seen` also holds a value equal to the base that somebody else is reported to have written:
    between two observations a field may have changed and changed back.
    """

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
    """Merge an observation into the record; the observed fields then become the base."""
    known, shown = tuple(intents), seen.fields or {}
    differs = difference(base, shown)
    named = tuple(i for i in known if names(seen, i))
    sent = _sent(named, seen)
    others = {
        path: value
        for path, value in {**differs, **_rewritten(sent, shown)}.items()
        if value != record.fields.get(path)
        and not (named and wrote(named, path, value))
        and (path not in sent or _refused(record, path, sent))
    }
    own = {
        path: value
        for path, value in others.items()
        if known and wrote(_may_show(known, seen, path), path, value)
    }
    external = {path: value for path, value in others.items() if path not in own}
    conflicts = tuple(
        _settle(record, base, path, seen, policy, sent)
        for path in external
        if record.fields.get(path) != base.get(path) or _refused(record, path, sent)
    ) + tuple(
        _conflict(record, base, path, seen, Side.INTERNAL, Ground.OWN_PUSH)
        for path, value in own.items()
        if not wrote((i for i in known if i.state is IntentState.SENT), path, value)
    )
    if not named:
        differs |= told_edits(record, base, seen)
    if not conflicts:
        return Merge(differs, external)
    kept = {conflict.path for conflict in conflicts if conflict.winner is Side.INTERNAL}
    changes = {path: value for path, value in external.items() if path not in kept}
    return Merge(differs, changes, conflicts)


def agreed(
    record: Record,
    base: Fields,
    seen: Observation,
    intents: Iterable[Intent],
    policy: MergePolicy,
) -> Fields:
    """Return the base of a deleted record: it takes no edit there, which an undelete merges."""
    merged = merge(record, base, seen, intents, policy)
    untaken = set(merged.changes)
    untaken |= {c.path for c in merged.conflicts if c.policy is not Ground.OWN_PUSH}
    kept = {path: value for path, value in (seen.fields or {}).items() if path not in untaken}
    return kept | {path: base[path] for path in untaken if path in base}


def told_edits(record: Record, base: Fields, seen: Observation) -> dict[str, Any]:
    """Return reported edits of somebody else that the record does not hold."""
    if not seen.changed:
        return {}
    shown, here = seen.fields or {}, record.fields
    return {
        path: shown.get(path)
        for path in _reported(seen.changed, {**base, **shown})
        if shown.get(path) != here.get(path)
    }


def _reported(pointers: Iterable[str], known: Fields) -> Iterator[str]:
    """Yield the leaves that these pointers name, alone or with their field."""
    for pointer in pointers:
        if pointer in known:
            yield pointer
        else:
            yield from (path for path in known if path.startswith(f"{pointer}/"))


def _sent(named: tuple[Intent, ...], seen: Observation) -> FieldChanges:
    """Return the seen part of the changes that the observed push sent (rule 10)."""
    changes = named[0].changes if named else {}
    if not seen.unseen:
        return changes
    hidden = seen.hidden(changes)
    return {path: value for path, value in changes.items() if path not in hidden}


def wrote(intents: Iterable[Intent], path: str, value: Any) -> bool:
    """Rule 5: whether one of these pushes wrote exactly this value to this field."""
    return any(path in intent.changes and intent.changes[path] == value for intent in intents)


def names(seen: Observation, intent: Intent) -> bool:
    """Whether this observation shows the effect of this push: by its answer or by its key."""
    return intent.id in {seen.intent_id, seen.origin_key}


def _may_show(intents: Iterable[Intent], seen: Observation, path: str) -> tuple[Intent, ...]:
    """Rule 5: the pushes that may have written the seen value, if the origin is unknown."""
    if seen.tells_origin_of(path):
        return ()
    return tuple(i for i in intents if i.state in OPEN)


def _rewritten(sent: FieldChanges, shown: Fields) -> dict[str, Any]:
    """Return the fields that show another value than the observed push sent."""
    return {path: shown.get(path) for path, value in sent.items() if shown.get(path) != value}


def _refused(record: Record, path: str, sent: FieldChanges) -> bool:
    """Whether the record still holds the sent value, so that pushes of it would never end.

    After an edit of the record, the rewritten value is still our own write, not an edit (rule 5).
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
    if _refused(record, path, sent):
        return _conflict(record, base, path, seen, Side.EXTERNAL, Ground.REWRITTEN)
    rule = policy.of(path)
    external_wins = rule is ConflictPolicy.EXTERNAL_WINS or (
        rule is ConflictPolicy.LATEST_WINS and _last_edit(seen).low > record.updated_at
    )
    winner = Side.EXTERNAL if external_wins else Side.INTERNAL
    return _conflict(record, base, path, seen, winner, rule)


def _last_edit(seen: Observation) -> Interval:
    """Return when the object was last edited, or else when it was seen.

    The last change before an answer is our own push.
    """
    if seen.changed_at is None or seen.kind is ObservationKind.ANSWER:
        return seen.asof
    return seen.changed_at


def _conflict(
    record: Record,
    base: Fields,
    path: str,
    seen: Observation,
    winner: Side,
    policy: ConflictPolicy | Ground,
) -> Conflict:
    return Conflict(
        path=path,
        base=base.get(path),
        internal=record.fields.get(path),
        external=(seen.fields or {}).get(path),
        winner=winner,
        policy=policy,
    )
