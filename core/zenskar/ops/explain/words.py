"""Format the steps of an explanation as sentences."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import orjson

from zenskar.kernel.policy import Ground
from zenskar.model.fields import unescape
from zenskar.ops.explain.model import (
    POLL,
    BrokenRule,
    ConflictSeen,
    FieldDiff,
    HistoryStep,
    HistoryStepKind,
    Provenance,
)

_LONGEST = 160
_MOST_SHOWN = 8
_VERDICTS = MappingProxyType(
    {
        "created": "unknown until now, so a record was created",
        "linked": "the object belongs to this record",
        "merged": "newer than the base",
        "deleted": "a tombstone is kept",
        "restored": "the object was restored there, and is linked again",
        "merged_into": "the object lives on in another object",
        "confirmed": "equal to the known state, nothing to do",
        "echo": "the result of our own write, nothing to do",
        "stale": "older than the known state, ignored",
        "ambiguous": "neither older nor newer than the known state for sure",
        "replayed": "an earlier answer served again, ignored",
        "tombstone": "the object was deleted before and is not revived",
        "duplicate": "a second object that claims this record, ignored",
        "undecided": "matches several records or one that has an object, so a person decides",
        "entered": "the record passes the filter, and its object is linked again",
        "outside": "the filter of the connection excludes the record, so nothing travels",
        "late": "received long after the change, so the object is fetched first",
        "touched": "the event only names the object, so the object is fetched",
        "not_found": "no object carries this record's id",
        "gone": "the object seems deleted; fetch it before applying the delete",
        "exists": "refused, since the object exists there, so it is fetched and linked",
        "stale_version": "refused, since the object was changed there, so it is fetched first",
    }
)
_GROUNDS = MappingProxyType(
    {
        Ground.REWRITTEN.value: "won: it stores another value than it was sent",
        Ground.OWN_PUSH.value: "won: our push without an answer had written that value",
    }
)
_SEEN_IN = MappingProxyType({"list": "seen in a list", POLL: "seen in a poll"})
_SHOWN_FOR = ("echo", "stale", "tombstone", "duplicate")


def title(step: HistoryStep) -> str:
    """Return a sentence that describes a step."""
    return {
        HistoryStepKind.CHANGE: _change,
        HistoryStepKind.QUEUED: _queued,
        HistoryStepKind.OBSERVED: _observed,
        HistoryStepKind.VERDICT: _verdict,
        HistoryStepKind.CALL: _call,
        HistoryStepKind.ANSWER: _answer,
        HistoryStepKind.FAILED: _failure,
        HistoryStepKind.RETRY: lambda s: f"{s.source_system}: a retry was requested{_by(s)}",
        HistoryStepKind.DONE: lambda s: (
            f"{s.source_system}: {s.status}{_because(s.reason)}{_by(s)}"
        ),
        HistoryStepKind.NOTE: lambda s: f"{s.source_system}: {s.status}{_because(s.reason)}",
        HistoryStepKind.PAUSED: _paused,
        HistoryStepKind.RESUMED: _resumed,
    }[step.kind](step)


def details(step: HistoryStep) -> Iterator[str]:
    """Yield the details of a step, one line each."""
    yield from map(_diff, step.changes)
    yield from map(_conflict, step.conflicts)
    yield from map(_violation, step.violations)
    if step.kind is HistoryStepKind.CALL and step.call != "resend":
        yield from (f"write {name_of(p)} = {value_text(v)}" for p, v in step.writes.items())
    for each in step.added:
        yield f"added by {each.plugin}: {', '.join(map(name_of, each.members))}"
    yield from (f"seen {name_of(path)} = {value_text(v)}" for path, v in step.seen.items())
    if step.verdict in _SHOWN_FOR and not step.seen:
        yield from _showed(step.shown)
    if step.kind is HistoryStepKind.OBSERVED and step.occurred:
        yield _occurred(step.at, *step.occurred)
    yield from _names(step)


def origin(one: Provenance) -> str:
    """Return the origin of a field's value."""
    if one.step is None or one.at is None:
        return "an unknown origin that is not in the history"
    how = "answer to a call" if one.kind is HistoryStepKind.ANSWER else "event"
    who = "the API" if one.kind is HistoryStepKind.CHANGE else f"{one.source_system} ({how})"
    held = ", ".join(f"#{number}" for number in one.held_in)
    kept = f", kept in the conflict {held}" if held else ""
    return f"{who} at {moment(one.at)}, #{one.step}{kept}"


def value_text(value: Any) -> str:
    """Return a value of a field, shortened when it is long."""
    if value is None:
        return "(none)"
    text = orjson.dumps(value, default=str).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def name_of(path: str) -> str:
    """Return a field's name: `email`, `metadata.plan`."""
    return ".".join(unescape(token) for token in path[1:].split("/"))


def moment(at: datetime) -> str:
    """Return a moment in UTC, to the millisecond."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def duration(seconds: float | None) -> str:
    """Return a duration as short text, empty without a value."""
    if seconds is None:
        return ""
    for unit, size, most in (("ms", 0.001, 1), ("s", 1, 120), ("min", 60, 7200)):
        if seconds < most:
            return f"{seconds / size:.{int(unit == 's')}f} {unit}"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"


def _change(step: HistoryStep) -> str:
    return f"API: {step.event_type}{_version(step)}{_by(step)}"


def _queued(step: HistoryStep) -> str:
    return f"{step.source_system}: {step.event_type} queued{_version(step)}"


def _observed(step: HistoryStep) -> str:
    how = _SEEN_IN.get(step.reason or "", step.reason)
    event = f" {step.external_event_id}" if step.external_event_id else ""
    return f"{step.source_system}: {how}{event}, {step.event_type} of {step.external_id}"


def _verdict(step: HistoryStep) -> str:
    return f"{step.source_system}: {_decision(step)}"


def _answer(step: HistoryStep) -> str:
    external = f" {step.external_id}" if step.external_id else ""
    return f"{step.source_system}: answer to {step.call}{external}: {_decision(step)}"


def _decision(step: HistoryStep) -> str:
    known = ", ".join(filter(None, (step.verdict, _VERDICTS.get(step.verdict or ""))))
    known += f" {step.merged_into}" if step.merged_into else ""
    known += "; the object was purged" if step.purged else ""
    fetch = "; fetch the object" if step.fetch_wanted else ""
    deleted = "; the record is deleted" if step.deletes else ""
    return f"{known}{_version(step)}{deleted}{fetch}"


def _call(step: HistoryStep) -> str:
    what = "create sent again with the same key" if step.call == "resend" else f"{step.call} sent"
    state = "" if step.push_state in {None, "answered"} else f" ({step.push_state})"
    return f"{step.source_system}: {what}{state}"


def _failure(step: HistoryStep) -> str:
    again = f"; again in {duration(step.retry_in_seconds)}" if step.retry_in_seconds else ""
    error = f"{step.error_kind}: {step.error_message}"
    return f"{step.source_system}: {step.status}, {error}{again}"


def _paused(step: HistoryStep) -> str:
    error = f" ({step.error_kind}: {step.error_message})" if step.error_kind else ""
    return (
        f"{step.source_system}: the connection was paused{_because(step.reason)}{error}{_by(step)}"
    )


def _resumed(step: HistoryStep) -> str:
    what = f"the pause{_because(step.reason)} ended" if step.reason else "the pause ended"
    return f"{step.source_system}: {what}{_by(step) or ', its system answers again'}"


def _because(reason: str | None) -> str:
    return f", {reason.replace('_', ' ')}" if reason else ""


def _by(step: HistoryStep) -> str:
    place = f" from {step.place}" if step.place else ""
    return f", by {step.by}{place}" if step.by else ""


def _version(step: HistoryStep) -> str:
    return f", version {step.version}" if step.version else ""


def _diff(diff: FieldDiff) -> str:
    before = value_text(diff.before) if diff.known else "(unknown)"
    return f"{name_of(diff.path)}: {before} -> {value_text(diff.after)}"


def _conflict(one: ConflictSeen) -> str:
    sides = f"here {value_text(one.internal)}, there {value_text(one.external)}"
    base = value_text(one.base)
    why = _GROUNDS.get(one.policy, f"won by {one.policy}")
    return f"conflict over {name_of(one.path)}: base {base}, {sides}; {one.winner} {why}"


def _violation(one: BrokenRule) -> str:
    owner = one.plugin or one.connection
    return f"violates {owner} {one.pointer or '/'}: {one.message}"


def _occurred(at: datetime, low: datetime, high: datetime) -> str:
    first, last = moment(low), moment(high)
    if first[:10] == moment(at)[:10]:
        first = first[11:]
    return f"happened there between {first} and {last[11:]}"


def _showed(shown: Mapping[str, Any]) -> Iterator[str]:
    first = list(shown.items())[:_MOST_SHOWN]
    yield from (f"showed {name_of(path)} = {value_text(value)}" for path, value in first)
    if len(shown) > _MOST_SHOWN:
        yield f"showed {len(shown) - _MOST_SHOWN} more fields, see --output json"


def _names(step: HistoryStep) -> Iterator[str]:
    """Yield the ids of a step, for other commands and for the logs."""
    for queued in step.queued:
        yield f"-> {queued.source_system}: {queued.status}, event {queued.event_id}"
    if step.kind in {HistoryStepKind.OBSERVED, HistoryStepKind.QUEUED}:
        yield f"sync event {step.event_id}"
    if step.kind in {HistoryStepKind.OBSERVED, HistoryStepKind.QUEUED, HistoryStepKind.CHANGE}:
        yield f"correlation {step.correlation_id}"
    if step.idempotency_key and step.kind is HistoryStepKind.CALL:
        yield f"idempotency key {step.idempotency_key}"
