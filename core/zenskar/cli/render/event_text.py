"""Format a sync event and its history for people."""

from collections.abc import Mapping
from typing import Any

import orjson

from zenskar.cli.render.output import cell
from zenskar.model.history_detail import AdditionDetail, ConflictDetail, HistoryDetail

_HEAD = {
    "event_type": "type",
    "direction": "direction",
    "source_system": "source",
    "entity_id": "record",
    "external_id": "external",
    "external_event_id": "external event",
    "correlation_id": "correlation",
    "causation_id": "caused by",
    "attempts": "attempts",
    "next_attempt_at": "next attempt",
}
_NESTED = ("changes", "seen", "conflicts", "violations", "added")


def event_text(event: Mapping[str, Any]) -> list[str]:
    """Return the lines of an event with its history, one for each fact."""
    lines = [f"Sync event {event['id']}", f"  {'status':<15} {_status(event)}"]
    lines += [
        f"  {title:<15} {cell(event[name])}"
        for name, title in _HEAD.items()
        if event.get(name) is not None
    ]
    if event.get("error_message"):
        lines.append(f"  {'error':<15} {event.get('error_kind')}: {event['error_message']}")
    lines += ["", "History"]
    for entry in event["history"]:
        lines += _entry(entry)
    return lines


def message_text(payload: Any) -> list[str]:
    """Return the lines of an event's message, indented."""
    if payload is None:
        return ["", "Message", "  not stored; a retry sends the record in its state at that time"]
    text = payload if isinstance(payload, str) else _pretty(payload)
    return ["", "Message", *(f"  {line}" for line in text.splitlines())]


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _status(event: Mapping[str, Any]) -> str:
    reason = event.get("reason")
    return f"{event['status']} ({reason})" if reason else str(event["status"])


def _entry(entry: Mapping[str, Any]) -> list[str]:
    detail: HistoryDetail = entry["detail"]
    time = entry["at"].astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    plain = [f"{k}={_value(v)}" for k, v in detail.items() if k not in _NESTED]
    lines = [f"  {time}  {entry['status']:<10} {'  '.join(plain)}".rstrip()]
    lines += _fields("changed", detail.get("changes"))
    lines += _fields("seen", detail.get("seen"))
    lines += [f"      conflict {_conflict(conflict)}" for conflict in detail.get("conflicts") or ()]
    for each in detail.get("violations") or ():
        owner = each.get("plugin") or each.get("connection")
        lines.append(f"      violates {owner} {each['pointer']}: {each['message']}")
    lines += [f"      {_addition(addition)}" for addition in detail.get("added") or ()]
    return lines


def _addition(addition: AdditionDetail) -> str:
    return f"added by {addition['plugin']}: {', '.join(addition['members'])}"


def _fields(title: str, changes: Mapping[str, Any] | None) -> list[str]:
    return [f"      {title:<8} {path} -> {_value(v)}" for path, v in (changes or {}).items()]


def _conflict(conflict: ConflictDetail) -> str:
    values = ", ".join(f"{k} {_value(conflict[k])}" for k in ("base", "internal", "external"))
    return f"{conflict['path']}: {values}; {conflict['winner']} won"


def _value(value: Any) -> str:
    return (
        value if isinstance(value, str) and value.isidentifier() else orjson.dumps(value).decode()
    )
