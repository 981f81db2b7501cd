"""Rule 10: a field that was not seen is not empty."""

from collections.abc import Iterable
from dataclasses import replace

from zenskar.kernel.outcome import Outcome
from zenskar.model.fields import Fields, apply
from zenskar.model.observation import Observation
from zenskar.model.record import Intent, IntentState


def fill(seen: Observation, base: Fields, pushes: Iterable[Intent]) -> Observation:
    """Return the observation with its unseen fields filled from the pushes, else from the base."""
    if not seen.unseen or seen.fields is None:
        return seen
    kept = seen.hidden(base)
    for push in pushes:
        kept = {**kept, **seen.hidden(push.changes)}
    return replace(seen, fields=apply(seen.fields, kept))


def with_look(outcome: Outcome) -> Outcome:
    """Return the outcome of an observation that shows no field, with a request for a fetch.

    The base holds the sent values, which the external system may have rewritten.
    """
    mapping = outcome.mapping
    if mapping is None or not mapping.active:
        return outcome
    return replace(outcome, mapping=replace(mapping, fetch_revision=mapping.revision))


def landed(intents: Iterable[Intent], seen: Observation) -> tuple[Intent, ...]:
    """Return the observed pushes whose effect the base does not hold yet."""
    if not seen.unseen:
        return ()
    named = {seen.intent_id, seen.origin_key}
    return tuple(i for i in intents if i.id in named and i.state is not IntentState.ANSWERED)
