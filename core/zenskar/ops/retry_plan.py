"""Plan the retry of dead letters, then retry exactly these as long as they are still dead."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import event_search
from zenskar.db.events.event_log import EventFilter, LoggedEvent
from zenskar.db.events.event_search import EventPage
from zenskar.errors import InvalidInput
from zenskar.model.actor import Actor
from zenskar.model.operator_action import ActionKind
from zenskar.model.sync_event import SyncStatus
from zenskar.ops.audit import AuditEntry, recorded
from zenskar.ops.plan_file import require_ids
from zenskar.ops.replay import Replay
from zenskar.sync.republish import DISCARDED

_BATCH = 500


@dataclass(frozen=True, slots=True)
class RetryStep:
    """A dead letter to retry, with the time of its last change, on which the step depends."""

    event_id: str
    dead_since: datetime
    source_system: str
    direction: str
    event_type: str
    error_kind: str | None
    reason: str | None
    external_id: str | None
    record_id: str | None

    @property
    def group(self) -> tuple[str, str, str]:
        """The connection, the direction, and the kind of failure or the reason."""
        return self.source_system, self.direction, self.error_kind or self.reason or "unknown"

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Return the step that a plan file holds.

        Raises `ValueError` for a time without a zone.
        """
        require_ids(body["event_id"], body["record_id"])
        since = datetime.fromisoformat(body["dead_since"])
        if since.tzinfo is None:
            raise ValueError("a time of a plan has no zone")
        return cls(**{**body, "dead_since": since})


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """The dead letters to retry, oldest first; `unreadable` ones stay.

    Their stored messages cannot be processed by this release.
    """

    steps: tuple[RetryStep, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[tuple[str, str, str], int]:
        """The number of steps by connection, direction and kind of failure."""
        return dict(sorted(Counter(step.group for step in self.steps).items()))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        counts = [
            {"source": source, "direction": direction, "kind": kind, "count": count}
            for (source, direction, kind), count in self.counts.items()
        ]
        return {**asdict(self), "counts": counts}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Return the plan that a file holds. Raises `InvalidInput` when it was changed."""
        try:
            steps = tuple(RetryStep.from_json(each) for each in body["steps"])
            return cls(steps, tuple(body["unreadable"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InvalidInput("the plan is not complete: make it again") from None


@dataclass(slots=True)
class RetryResult:
    """The number of steps by their result, and the dead letters that were not retried.

    `already_done` are no dead letters any more: an earlier retry has processed them.
    """

    steps: int
    done: int = 0
    already_done: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)

    def skip(self, event_id: str, why: str) -> None:
        """Add a dead letter that was not retried."""
        self.skipped.append({"event_id": event_id, "why": why})

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


async def plan_retry(engine: AsyncEngine, replay: Replay, wanted: EventFilter) -> RetryPlan:
    """Return the plan for the dead letters that a filter matches; nothing is changed."""
    steps: list[RetryStep] = []
    unreadable: list[str] = []
    before: str | None = None
    while True:
        page = await _page(engine, wanted, before)
        ids = [event.id for event in page.events]
        known = await replay.retryable(EventFilter(status=SyncStatus.DEAD, ids=ids))
        steps += [_step(event) for event in page.events if event.id in known]
        unreadable += [each for each in ids if each not in known]
        before = page.last_id
        if before is None:
            return RetryPlan(tuple(reversed(steps)), tuple(reversed(unreadable)))


async def apply_retry(
    engine: AsyncEngine, replay: Replay, plan: RetryPlan, operator: Actor
) -> RetryResult:
    """Retry the dead letters of a plan that have not changed since; a repeat is harmless."""
    result = RetryResult(len(plan.steps))
    entry = AuditEntry(ActionKind.RETRY, operator, request={"events": len(plan.steps)})
    async with recorded(engine, entry):
        for start in range(0, len(plan.steps), _BATCH):
            await _apply_batch(engine, replay, plan.steps[start : start + _BATCH], entry, result)
    return result


async def _apply_batch(
    engine: AsyncEngine,
    replay: Replay,
    steps: Sequence[RetryStep],
    entry: AuditEntry,
    result: RetryResult,
) -> None:
    """Retry some dead letters, then count the others by their present state."""
    unchanged = EventFilter(
        status=SyncStatus.DEAD, unchanged=[(step.event_id, step.dead_since) for step in steps]
    )
    done = set(await replay.retry_each(unchanged, entry.by, entry))
    result.done += len(done)
    rest = [step for step in steps if step.event_id not in done]
    found = await _page(engine, EventFilter(ids=[step.event_id for step in rest]))
    states = {event.id: event for event in found.events}
    for step in rest:
        why = _find_change(step, states.get(step.event_id))
        if why is None:
            result.already_done += 1
        else:
            result.skip(step.event_id, why)


def _find_change(step: RetryStep, event: LoggedEvent | None) -> str | None:
    """Return the change that prevents a retry, None for an event that was retried."""
    if event is None:
        return "it does not exist any more"
    if event.reason == DISCARDED:
        return "it was discarded"
    if event.status != SyncStatus.DEAD.value:
        return None
    if event.updated_at != step.dead_since:
        return "it was retried since, and is dead again"
    return "its stored message cannot be read"


async def _page(engine: AsyncEngine, wanted: EventFilter, before: str | None = None) -> EventPage:
    return await in_transaction(
        engine, lambda c: event_search.page(c, wanted, limit=_BATCH, before=before)
    )


def _step(event: LoggedEvent) -> RetryStep:
    return RetryStep(
        event.id,
        event.updated_at,
        event.source_system,
        event.direction,
        event.event_type,
        event.error_kind,
        event.reason,
        event.external_id,
        event.entity_id,
    )
