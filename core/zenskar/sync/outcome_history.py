"""Describe the outcome of an observation for the history of its sync event."""

from zenskar.db.events.sync_events import Transition
from zenskar.kernel import Outcome
from zenskar.model.fields import SHAPES, unflatten
from zenskar.model.history_detail import HistoryDetail, ViolationDetail
from zenskar.model.notices import ConflictRecorded, RecordChanged
from zenskar.model.observation import Observation
from zenskar.model.sync_event import SyncStatus
from zenskar.plugins.broadcasts import Broadcaster
from zenskar.sync.announcements import announce
from zenskar.sync.fanout import Cause
from zenskar.sync.work.follow_ups import action_of
from zenskar.sync.work.unit_of_work import UnitOfWork


def describe(
    work: UnitOfWork, record_id: str | None, seen: Observation, outcome: Outcome
) -> HistoryDetail:
    """Return an outcome as a detail of the history; call this before the next decision."""
    detail: HistoryDetail = {"verdict": outcome.verdict}
    if seen.purged:
        detail["purged"] = True
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
    if outcome.mapping is not None and outcome.mapping.merged_into is not None:
        detail["merged_into"] = outcome.mapping.merged_into
    if outcome.matched:
        detail["candidates"] = list(outcome.matched)
    if outcome.mapping is not None:
        detail["revision"] = outcome.mapping.revision
        if outcome.mapping.fetch_revision is not None:
            detail["fetch_wanted"] = True
    return detail


def broadcast(
    broadcaster: Broadcaster,
    work: UnitOfWork,
    record_id: str | None,
    outcome: Outcome,
    cause: Cause,
) -> HistoryDetail:
    """Announce an outcome after the commit, and return the violated business rules, if any.

    Call this before the next decision. The change is a fact, so it is applied nevertheless.
    """
    if record_id is None:
        return {}
    if not broadcaster.is_idle:
        _announce(broadcaster, work, record_id, outcome, cause)
    return _violations(broadcaster, work, record_id, outcome) if outcome.changes_record else {}


def _announce(
    broadcaster: Broadcaster, work: UnitOfWork, record_id: str, outcome: Outcome, cause: Cause
) -> None:
    for each in outcome.conflicts:
        winner = each.winner.value
        conflict = ConflictRecorded(
            work.entity_type, record_id, work.name, each.path, winner, cause.event_id
        )
        announce(broadcaster, conflict)
    if not outcome.changes_record:
        return
    fields = () if outcome.delete_record else tuple(outcome.record_changes)
    version, action = work.records[record_id].version, action_of(outcome)
    changed = RecordChanged(
        work.entity_type, record_id, version, action, work.name, fields, cause.correlation_id
    )
    announce(broadcaster, changed)


def _violations(
    broadcaster: Broadcaster, work: UnitOfWork, record_id: str, outcome: Outcome
) -> HistoryDetail:
    if outcome.delete_record:
        return {}
    fields, replaced = work.records[record_id].fields, work.replaced.get(record_id)
    before = None if replaced is None or outcome.create_record else replaced.fields
    found: list[ViolationDetail] = []
    if broadcaster.validates:
        shape = SHAPES[work.entity_type]
        broken = broadcaster.violations(
            work.entity_type,
            unflatten(shape, fields),
            None if before is None else unflatten(shape, before),
            work.name,
        )
        found += [{"plugin": p, "pointer": at, "message": text} for p, at, text in broken]
    found += [
        {"connection": work.name, "pointer": v.pointer, "message": v.message}
        for v in work.source.new_violations(work.entity_type, fields, before)
    ]
    return {"violations": found} if found else {}


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
