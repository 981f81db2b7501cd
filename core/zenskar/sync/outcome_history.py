"""Describe the outcome of an observation for the history of its sync event."""

from zenskar.db.events.sync_events import Transition
from zenskar.kernel import Outcome
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.observation import Observation
from zenskar.model.sync_event import SyncStatus
from zenskar.sync.unit_of_work import UnitOfWork


def describe(work: UnitOfWork, record_id: str | None, outcome: Outcome) -> HistoryDetail:
    """Return an outcome as a detail of the history; call this before the next decision."""
    detail: HistoryDetail = {"verdict": outcome.verdict}
    if outcome.changes_record and record_id is not None:
        detail["record_version"] = work.records[record_id].version
    if outcome.record_changes:
        detail["changes"] = dict(outcome.record_changes)
    if outcome.seen_changes and outcome.seen_changes != outcome.record_changes:
        detail["seen"] = dict(outcome.seen_changes)
    if outcome.conflicts:
        detail["conflicts"] = [
            {
                "path": c.path,
                "base": c.base,
                "internal": c.internal,
                "external": c.external,
                "winner": c.winner.value,
                "policy": c.policy.value,
            }
            for c in outcome.conflicts
        ]
    if outcome.mapping is not None:
        detail["revision"] = outcome.mapping.revision
        if outcome.mapping.fetch_revision is not None:
            detail["fetch_wanted"] = True
    return detail


def transition(
    event_id: str,
    record_id: str | None,
    seen: Observation,
    outcome: Outcome,
    detail: HistoryDetail,
) -> Transition:
    """Return the transition that ends the event of an observation."""
    reason = "conflict" if outcome.conflicts else outcome.verdict
    return Transition(
        event_id,
        SyncStatus.SUCCEEDED if outcome.verdict.changes_state else SyncStatus.IGNORED,
        reason,
        detail=detail,
        entity_id=record_id,
        external_id=seen.external_id,
    )
