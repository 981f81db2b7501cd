"""All that is known of one record at one connection when a decision is made."""

from dataclasses import dataclass

from zenskar.model.record import ExternalMapping, Intent, Record


@dataclass(frozen=True, slots=True)
class Situation:
    """The record, its mapping, and our own pushes that may still show up.

    For `observe`, `mapping` is that of the observed external object and `rival` the record's
    mapping to a different one, live or not. `intents` are the pushes without an answer, together
    with the one that an observation names as its origin.
    """

    record: Record | None = None
    mapping: ExternalMapping | None = None
    intents: tuple[Intent, ...] = ()
    rival: ExternalMapping | None = None
