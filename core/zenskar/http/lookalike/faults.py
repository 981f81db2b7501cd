"""Injected faults: their kinds, their number, and the calls or events that they hit."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Final, NamedTuple

from zenskar.http.lookalike.bad_input import BadInput


class FaultKind(StrEnum):
    """The kind of a fault."""

    RATE_LIMITED = "rate_limited"
    REFUSE = "refuse"
    SERVER_ERROR = "server_error"
    DROP_ANSWER = "drop_answer"
    DROP_REQUEST = "drop_request"
    ZOMBIE = "zombie"
    TRUNCATE = "truncate"
    DELAY = "delay"
    WEBHOOK_DELAY = "webhook_delay"
    WEBHOOK_DUPLICATE = "webhook_duplicate"
    WEBHOOK_REORDER = "webhook_reorder"
    WEBHOOK_DROP = "webhook_drop"

    @property
    def for_webhooks(self) -> bool:
        """Return whether the fault hits deliveries instead of API calls."""
        return self.value.startswith("webhook_")

    @property
    def silent(self) -> bool:
        """Return whether the caller gets no answer."""
        return self in {FaultKind.DROP_ANSWER, FaultKind.DROP_REQUEST, FaultKind.ZOMBIE}


class Mode(StrEnum):
    """The form of a truncated answer."""

    CUT = "cut"
    BROKEN_JSON = "broken_json"
    HTML = "html"


_COMMON: Final = frozenset({"kind", "count", "probability", "seed"})
_CALLS: Final = _COMMON | {"method", "path_prefix"}
_EVENTS: Final = _COMMON | {"event_type"}
_ALLOWED: Final[dict[FaultKind, frozenset[str]]] = {
    FaultKind.RATE_LIMITED: _CALLS | {"retry_after", "reason"},
    FaultKind.REFUSE: _CALLS | {"status", "code", "reason"},
    FaultKind.SERVER_ERROR: _CALLS | {"effect"},
    FaultKind.DROP_ANSWER: _CALLS,
    FaultKind.DROP_REQUEST: _CALLS,
    FaultKind.ZOMBIE: _CALLS | {"delay_seconds"},
    FaultKind.TRUNCATE: _CALLS | {"mode"},
    FaultKind.DELAY: _CALLS | {"delay_seconds"},
    FaultKind.WEBHOOK_DELAY: _EVENTS | {"delay_seconds"},
    FaultKind.WEBHOOK_DUPLICATE: _EVENTS | {"copies"},
    FaultKind.WEBHOOK_REORDER: _EVENTS | {"size", "delay_seconds"},
    FaultKind.WEBHOOK_DROP: _EVENTS | {"attempts"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault; without `count` and `probability` it hits once.

    `count` limits the number of hits. `probability` is the chance that a match is hit, drawn from
    the fault's own random number generator, which starts at `seed`.
    """

    kind: FaultKind
    count: int | None = None
    probability: float | None = None
    seed: int = 0
    method: str | None = None
    path_prefix: str = ""
    event_type: str | None = None
    effect: bool = False
    retry_after: int | None = None
    reason: str = "global-rate"
    status: int = 400
    code: str = ""
    mode: Mode = Mode.CUT
    delay_seconds: float = 1.0
    copies: int = 2
    size: int = 2
    attempts: int = 1

    def __post_init__(self) -> None:
        _check_options(self)
        _check_values(self)

    @property
    def limit(self) -> int | None:
        """Return the maximum number of hits, None for no limit."""
        if self.count is not None or self.probability is not None:
            return self.count
        return self.size if self.kind is FaultKind.WEBHOOK_REORDER else 1

    def shown(self) -> dict[str, Any]:
        """Return the options of the fault's kind."""
        return {key: value for key, value in asdict(self).items() if key in _ALLOWED[self.kind]}


class Hit(NamedTuple):
    """A fault that hits, with the id of its injection."""

    id: str
    fault: Fault


class Faults:
    """The injected faults, in the order in which they were added."""

    def __init__(self) -> None:
        self._active: dict[str, _Active] = {}
        self._added = 0

    def add(self, fault: Fault) -> str:
        """Inject a fault and return the id of the injection."""
        self._added += 1
        identifier = f"fault_{self._added}"
        self._active[identifier] = _Active(fault, random.Random(fault.seed))  # noqa: S311
        return identifier

    def remove(self, identifier: str) -> bool:
        """End an injection; return whether it existed."""
        return self._active.pop(identifier, None) is not None

    def clear(self) -> None:
        """End every injection."""
        self._active.clear()

    def shown(self) -> list[dict[str, Any]]:
        """Return every injection with the number of its hits."""
        return [
            {"id": key, **active.fault.shown(), "hits": active.hits}
            for key, active in self._active.items()
        ]

    def for_call(self, method: str, path: str) -> Fault | None:
        """Return the first fault that hits an API call, None without one."""
        for active in self._active.values():
            fault = active.fault
            meant = fault.method in (None, method) and path.startswith(fault.path_prefix)
            if not fault.kind.for_webhooks and meant and active.strikes():
                return fault
        return None

    def for_event(self, kind: str) -> list[Hit]:
        """Return every fault that hits the deliveries of an event."""
        return [
            Hit(key, active.fault)
            for key, active in self._active.items()
            if active.fault.kind.for_webhooks
            and active.fault.event_type in (None, kind)
            and active.strikes()
        ]


@dataclass(slots=True)
class _Active:
    fault: Fault
    rng: random.Random
    hits: int = 0

    def strikes(self) -> bool:
        limit, probability = self.fault.limit, self.fault.probability
        if limit is not None and self.hits >= limit:
            return False
        if probability is not None and self.rng.random() >= probability:
            return False
        self.hits += 1
        return True


def _check_options(fault: Fault) -> None:
    for item in fields(Fault):
        given = item.name != "kind" and getattr(fault, item.name) != item.default
        if given and item.name not in _ALLOWED[fault.kind]:
            raise BadInput(f"{item.name} does not apply to {fault.kind.value}")


def _check_values(fault: Fault) -> None:
    if fault.count is not None and fault.count < 1:
        raise BadInput("count must be at least 1")
    if fault.probability is not None and not 0 < fault.probability <= 1:
        raise BadInput("probability must be above 0 and at most 1")
    if not 0 <= fault.delay_seconds < float("inf"):
        raise BadInput("delay_seconds must be a finite number that is not negative")
    if fault.copies < 2 or fault.size < 2 or fault.attempts < 1:
        raise BadInput("copies and size must be at least 2, attempts at least 1")
    if not 300 <= fault.status < 600:
        raise BadInput("status must be at least 300 and below 600")
    if fault.retry_after is not None and fault.retry_after < 0:
        raise BadInput("retry_after must not be negative")
    if fault.event_type is not None and fault.event_type.endswith("*"):
        raise BadInput("event_type is a whole type, without a wildcard")
    if "\r" in fault.reason or "\n" in fault.reason:
        raise BadInput("reason must be one line")
