"""Format an explanation for people; every line is complete without colour."""

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from zenskar.ops.explain.model import (
    Explanation,
    HistoryStep,
    OpenIntent,
    SystemSnapshot,
    Unfinished,
)
from zenskar.ops.explain.words import (
    details,
    duration,
    moment,
    name_of,
    origin,
    title,
    value_text,
)
from zenskar.telemetry.terminal import printable

WIDTH = 100
_DEEPEST = 4
_BOLD, _DIM, _PLAIN, _ALARM = "bold", "dim", "", "red"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the output. The style adds no information."""

    text: str
    style: str = _PLAIN


def explanation_lines(found: Explanation, width: int = WIDTH) -> Iterator[Line]:
    """Yield the lines of an explanation: the present state first, then the timeline."""
    for line in (*_record(found), *_systems(found), *_attention(found), *_timeline(found, width)):
        yield Line(printable(line.text.rstrip()), line.style)


def _record(found: Explanation) -> Iterator[Line]:
    deleted = f", deleted {moment(found.deleted_at)}" if found.deleted_at else ""
    yield Line(f"Customer {found.id}, version {found.version}{deleted}", _BOLD)
    for one in found.provenance:
        yield Line(f"  {name_of(one.path):<14} {value_text(one.value)}")
        yield Line(f"  {'':<14} last written by {origin(one)}", _DIM)
    if not found.provenance:
        yield Line("  nothing in this field" if found.field else "  no fields")


def _systems(found: Explanation) -> Iterator[Line]:
    yield Line("")
    yield Line("Systems", _BOLD)
    if not found.systems:
        yield Line("  none: no connection ever received this customer")
    for system in found.systems:
        yield Line(f"  {system.source_system:<14} {_standing(system)}")
        for line in _system_details(system):
            yield Line(f"  {'':<14} {line}")


def _standing(system: SystemSnapshot) -> str:
    if system.state == "outside":
        kept = f"{system.external_id}, " if system.external_id else ""
        return f"{kept}outside of the filter, so nothing travels"
    if system.external_id is None:
        return "no external object yet"
    if system.in_sync:
        return f"{system.external_id}, {system.state}, equal to the record"
    if system.state == "active" and system.differences:
        return f"{system.external_id}, active, not equal to the record"
    successor = f" into {system.merged_into}" if system.merged_into else ""
    return f"{system.external_id}, {system.state}{successor}"


def _system_details(system: SystemSnapshot) -> Iterator[str]:
    for diff in system.differences:
        before, after = value_text(diff.before), value_text(diff.after)
        yield f"{name_of(diff.path)}: last agreed {before}, the record has {after}"
    if system.fetch_wanted:
        yield "a fetch is required before the next write"
    for intent in system.open_intents:
        yield _open_intent(intent)
    if system.paused_at:
        yield f"the connection is paused since {moment(system.paused_at)}: {system.paused_reason}"
    if system.revision is not None and system.asof:
        yield f"revision {system.revision}, as of {moment(system.asof[1])}"


def _open_intent(intent: OpenIntent) -> str:
    state = "no answer" if intent.state == "unknown" else "on its way"
    fields = ", ".join(map(name_of, intent.writes))
    wrote = f" of {fields}" if fields else ""
    return f"{intent.kind}{wrote} sent {moment(intent.created_at)}, {state}; key {intent.id}"


def _attention(found: Explanation) -> Iterator[Line]:
    remarks = [*map(_unfinished, found.unfinished)]
    if found.missing_versions:
        numbers = ", ".join(map(str, found.missing_versions))
        remarks.append(f"the history has no entry for version {numbers}")
    if found.truncated:
        remarks.append("older events were left out: give a higher --limit")
    if remarks:
        yield Line("")
        yield Line("Note", _BOLD)
        for remark in remarks:
            yield Line(f"  {remark}", _ALARM)


def _unfinished(event: Unfinished) -> str:
    error = f": {event.error_kind}: {event.error_message}" if event.error_kind else ""
    retry = f", next try {moment(event.next_attempt_at)}" if event.next_attempt_at else ""
    attempts = f" after {event.attempts} attempts" if event.attempts else ""
    what = f"{event.source_system} {event.direction} {event.event_type} {event.event_id}"
    return f"{what} is {event.status}{attempts}{retry}{error}"


def _timeline(found: Explanation, width: int) -> Iterator[Line]:
    narrowed = f" of {found.field}" if found.field else ""
    yield Line("")
    yield Line(f"Timeline{narrowed} (UTC; <- names the step that caused it)", _BOLD)
    if not found.steps:
        yield Line("  nothing is known")
    depths = _depths(found.steps)
    for day, steps in groupby(found.steps, key=lambda step: moment(step.at)[:10]):
        yield Line(day, _DIM)
        for step in steps:
            yield from _step(step, depths[step.number], width)


def _step(step: HistoryStep, depth: int, width: int) -> Iterator[Line]:
    indent = "  " * min(depth, _DEEPEST)
    since = duration(step.since_previous_seconds)
    number, passed = f"#{step.number}", f"+{since}" if since else ""
    head = f"{number:>5}  {_clock(step.at)}  {passed:>9}  {indent}"
    cause = f"  <- #{step.cause}" if step.cause else ""
    first, *rest = _wrapped(title(step) + cause, width - len(head), "  ")
    style = _ALARM if step.error_kind or step.conflicts else _PLAIN
    yield Line(head + first, style)
    for line in rest:
        yield Line(" " * len(head) + line, style)
    for detail in details(step):
        for line in _wrapped(detail, width - len(head) - 2, "  "):
            yield Line(" " * (len(head) + 2) + line, _DIM)


def _wrapped(line: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        printable(line), width, subsequent_indent=indent, break_on_hyphens=False
    ) or [""]


def _clock(at: datetime) -> str:
    return moment(at)[11:]


def _depths(steps: Iterable[HistoryStep]) -> dict[int, int]:
    found: dict[int, int] = {}
    for step in steps:
        found[step.number] = 0 if step.cause is None else found.get(step.cause, -1) + 1
    return found
