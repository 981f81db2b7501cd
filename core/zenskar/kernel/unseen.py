"""Rule 10: what was not seen is not empty."""

from collections.abc import Iterable
from dataclasses import replace

from zenskar.model.fields import Fields, apply, keep
from zenskar.model.observation import Observation
from zenskar.model.record import Intent, IntentState


def fill(seen: Observation, base: Fields, pushes: Iterable[Intent]) -> Observation:
    """Return the observation with each field that was not seen as the pushes left it, else as in
    the base.
    """
    if not seen.unseen or seen.fields is None:
        return seen
    kept = keep(seen.unseen, base)
    for push in pushes:
        kept = {**kept, **keep(seen.unseen, push.changes)}
    return replace(seen, fields=apply(seen.fields, kept))


def landed(intents: Iterable[Intent], seen: Observation) -> tuple[Intent, ...]:
    """Return the pushes whose effect is seen and that the base does not hold yet."""
    if not seen.unseen:
        return ()
    named = {seen.intent_id, seen.origin_key}
    return tuple(i for i in intents if i.id in named and i.state is not IntentState.ANSWERED)
