"""Short forms for situations and observations."""

from typing import Any

from zenskar import kernel
from zenskar.kernel import ConflictPolicy, MergePolicy, Outcome, Situation, StepKind
from zenskar.model.interval import Interval
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import (
    ExternalMapping,
    Intent,
    IntentKind,
    IntentState,
    Record,
)

WEBHOOK, ANSWER, FETCH = ObservationKind.WEBHOOK, ObservationKind.ANSWER, ObservationKind.FETCH
LIST = ObservationKind.LIST
SENT, UNKNOWN, ANSWERED = IntentState.SENT, IntentState.UNKNOWN, IntentState.ANSWERED
INTERNAL_WINS = MergePolicy(ConflictPolicy.INTERNAL_WINS)
EXTERNAL_WINS = MergePolicy(ConflictPolicy.EXTERNAL_WINS)
LATEST_WINS = MergePolicy(ConflictPolicy.LATEST_WINS)


def second(at: int) -> Interval:
    """Return one second of the external clock."""
    return Interval.of_second(at)


def record(name: str | None = "Ada", **more: Any) -> Record:
    """Return a record with a name."""
    return Record("r1", {"/name": name} if name else {}, **more)


def mapping(name: str = "Ada", **more: Any) -> ExternalMapping:
    """Return a mapping at revision 5 whose base, seen in second 10, has this name."""
    known: dict[str, Any] = {"asof": second(10), "revision": 5} | more
    return ExternalMapping("x1", known.pop("entity_id", "r1"), {"/name": name}, **known)


def intent(name: str | None, state: IntentState = SENT, **more: Any) -> Intent:
    """Return an update that writes this name."""
    known: dict[str, Any] = {"id": "k1", "kind": IntentKind.UPDATE, "revision": 5} | more
    return Intent(changes=known.pop("changes", {"/name": name}), state=state, **known)


def seen(
    name: str | None, at: int = 10, kind: ObservationKind = WEBHOOK, **more: Any
) -> Observation:
    """Return an observation of the object with this name; None when it is deleted."""
    fields = None if name is None else {"/name": name}
    return Observation(kind, more.pop("external_id", "x1"), second(at), fields, **more)


def take(situation: Situation, news: Observation, policy: MergePolicy = INTERNAL_WINS) -> Outcome:
    """Observe an external object."""
    return kernel.observe(situation, news, policy, new_record_id="r2")


def step(situation: Situation, *, propagate_deletes: bool = True) -> StepKind:
    """Return the next step."""
    return kernel.plan(situation, propagate_deletes=propagate_deletes).kind
