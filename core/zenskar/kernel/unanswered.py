"""Rule 6: the end of pushes without an answer."""

from collections.abc import Iterable

from zenskar.kernel.merge import names, wrote
from zenskar.kernel.situation import Situation
from zenskar.model.fields import Fields
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import OPEN, ExternalMapping, Intent, IntentKind, IntentState


def ended(
    situation: Situation, mapping: ExternalMapping, seen: Observation, settled: tuple[str, ...]
) -> tuple[str, ...]:
    """Rule 6: the pushes without an answer that have landed, or that can no longer land.

    Such a push wrote a value that this observation shows as new, or somebody else wrote it. When
    two pushes wrote the same value, either may have landed, and the other may still arrive. The
    next fetch shows the effect of a push that is too old to arrive.
    """
    unknown = [i for i in situation.intents if i.state is IntentState.UNKNOWN]
    if not unknown:
        return ()
    named = [i for i in situation.intents if names(seen, i)]
    looked = seen.kind is ObservationKind.FETCH and seen.seen_revision is not None
    pending = [i for i in situation.intents if i.state in OPEN]
    over = []
    for intent in unknown:
        others = [i for i in pending if i is not intent]
        paths = _shown_as_new(intent, mapping.base, seen, named)
        alone = any(not wrote(others, path, intent.changes[path]) for path in paths)
        done = intent in named or alone or (looked and not intent.may_arrive)
        if done and intent.id not in settled:
            over.append(intent.id)
    return tuple(over)


def written_by_others(
    situation: Situation, mapping: ExternalMapping, seen: Observation
) -> tuple[str, ...]:
    """Rule 5: the pushes whose value somebody else wrote, as the next fetch cannot show that.

    Only where both sides were equal: otherwise the value may come from a push in progress.
    """
    record = situation.record
    if record is None or not seen.changed:
        return ()
    here, base = record.fields, mapping.base
    named = [i for i in situation.intents if names(seen, i)]
    return tuple(
        i.id
        for i in situation.intents
        if i.state is IntentState.UNKNOWN
        and i not in named
        and any(
            seen.tells_origin_of(path) and here.get(path) == base.get(path)
            for path in _shown_as_new(i, base, seen, named)
        )
    )


def reopened(situation: Situation, seen: Observation) -> tuple[str, ...]:
    """Return the push that arrived after its end: it is open again for the next fetch."""
    known = (i for i in situation.intents if i.state is IntentState.ENDED)
    return tuple(i.id for i in known if i.id == seen.origin_key)


def in_vain(situation: Situation, seen: Observation) -> tuple[str, ...]:
    """Rule 8: the pushes without an answer to an object that is permanently gone."""
    return tuple(
        i.id
        for i in situation.intents
        if i.state is IntentState.UNKNOWN
        and i.kind is not IntentKind.CREATE
        and i.id not in seen.answers
    )


def _shown_as_new(
    intent: Intent, base: Fields, seen: Observation, named: Iterable[Intent]
) -> tuple[str, ...]:
    """Return the fields that show a push's value which the base did not have.

    Values of the pushes that this observation names prove nothing about other pushes.
    """
    shown = seen.fields or {}
    return tuple(
        path
        for path, value in intent.changes.items()
        if shown.get(path) == value != base.get(path) and not wrote(named, path, value)
    )
