"""The effect of the injected faults on the deliveries of an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zenskar.http.lookalike.faults import FaultKind, Hit

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Plan:
    """The delay, the number of copies and of lost attempts, and the reordering of deliveries."""

    delay: float = 0.0
    copies: int = 1
    drops: int = 0
    reorder: Hit | None = None
    faults: str | None = None


def plan(hits: Iterable[Hit]) -> Plan:
    """Combine the faults that hit an event."""
    struck = list(hits)
    delay, copies, drops, reorder = 0.0, 1, 0, None
    for hit in struck:
        match hit.fault.kind:
            case FaultKind.WEBHOOK_DELAY:
                delay += hit.fault.delay_seconds
            case FaultKind.WEBHOOK_DUPLICATE:
                copies += hit.fault.copies - 1
            case FaultKind.WEBHOOK_DROP:
                drops += hit.fault.attempts
            case _:
                reorder = hit
    return Plan(delay, copies, drops, reorder, ",".join(hit.fault.kind for hit in struck) or None)
