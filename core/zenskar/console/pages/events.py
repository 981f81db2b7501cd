"""The sync events: a search with filters, one event with its history, and the actions on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.console.page import ROOT, Action, ConsolePage, Done, Preview, ShownOnce, Visit
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events.event_log import EventFilter
from zenskar.errors import NotFound, StateConflict
from zenskar.ids import is_id
from zenskar.model.scope import Scope
from zenskar.model.sync_event import Direction, SyncStatus
from zenskar.ops import events
from zenskar.ops.dead_letters import only_dead
from zenskar.ops.events import EventWithHistory
from zenskar.ops.replay import Replay
from zenskar.sync.fanout import AMBIGUOUS_MATCH

SECTION = "/events"
_PAGE = 50
_FILTERS = (
    "source",
    "reason",
    "error_kind",
    "event_type",
    "correlation_id",
    "external_id",
    "status",
    "direction",
    "record",
    "since",
    "until",
)


@dataclass(frozen=True, slots=True)
class _ChosenEvent:
    """The event of an action, with the addresses around it."""

    found: EventWithHistory
    back: str

    @property
    def counts(self) -> list[tuple[str, str]]:
        """The facts that a preview shows."""
        event = self.found.event
        return [
            ("Event", event.event_type),
            ("Connection", event.source_system),
            ("Status", event.status),
            ("Attempts", f"{event.attempts:,}"),
        ]


async def read_all(visit: Visit) -> Mapping[str, Any]:
    """Return the data of the list."""
    wanted, before = visit.filter_as(EventFilter, _FILTERS, record="customer_id"), visit.before
    found = await in_transaction(
        visit.services.engine, lambda c: events.search(c, wanted, limit=_PAGE, before=before)
    )
    return {
        "found": found,
        **visit.shown_filters(_FILTERS),
        "statuses": [status.value for status in SyncStatus],
        "directions": [direction.value for direction in Direction],
        "sources": visit.services.router.sources,
        **visit.other_pages(found.last_id),
    }


async def read(visit: Visit) -> Mapping[str, Any]:
    """Return the data of one event, without values. Raises `NotFound`."""
    event_id = _id(visit)
    found = await in_transaction(
        visit.services.engine, lambda c: events.show(c, event_id, reveal=False)
    )
    return _data(found, revealed=False)


def _data(found: EventWithHistory, *, revealed: bool) -> Mapping[str, Any]:
    event = found.event
    return {
        "event": event,
        "history": [(entry, _lines(entry.detail)) for entry in found.history],
        "payload": None if found.payload is None else _pretty(found.payload),
        "revealed": revealed,
        "is_dead": event.status == SyncStatus.DEAD,
        "can_link": event.status == SyncStatus.DEAD
        and event.reason == AMBIGUOUS_MATCH
        and event.external_id is not None,
        "can_retry": event.status in {SyncStatus.DEAD, SyncStatus.RETRYING}
        or (event.status == SyncStatus.PENDING and event.error_kind is not None),
        "can_resend": event.status in {SyncStatus.PENDING, SyncStatus.PROCESSING},
    }


def _lines(detail: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the members of a history entry as texts."""
    return [
        (name, value if isinstance(value, str) else _pretty(value))
        for name, value in detail.items()
    ]


def _pretty(value: Any) -> str:
    if isinstance(value, str):
        return value
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


async def _chosen(visit: Visit) -> _ChosenEvent:
    event_id = _id(visit)
    found = await in_transaction(
        visit.services.engine, lambda c: events.show(c, event_id, reveal=False)
    )
    return _ChosenEvent(found, _address(event_id))


def _id(visit: Visit) -> str:
    event_id = visit.part("event_id")
    if not is_id(event_id):
        raise NotFound("there is no sync event with this id")
    return event_id.lower()


def _address(event_id: str) -> str:
    return f"{ROOT}{SECTION}/{event_id}"


async def _preview(
    visit: Visit, title: str, text: str, action: str, *, dangerous: bool = False
) -> Preview:
    """Show the event that an action is about."""
    chosen = await _chosen(visit)
    return Preview(title, text, action, chosen.back, counts=chosen.counts, dangerous=dangerous)


async def preview_retry(visit: Visit) -> Preview:
    """Show the event that is processed again."""
    return await _preview(
        visit,
        "Retry this event?",
        "It is processed again from the present state of both sides. A second retry has no effect.",
        "Retry",
    )


async def retry(visit: Visit) -> Done:
    """Retry the event.

    Raises `StateConflict` when the event has not failed, or its message cannot be read.
    """
    event_id = _id(visit)
    done = await visit.services.replay.retry(EventFilter(ids=(event_id,)), visit.actor)
    if not done:
        raise StateConflict("the event is not failed any more, or its message cannot be read")
    return Done("The event is processed again.", _address(event_id))


async def preview_resend(visit: Visit) -> Preview:
    """Show the event whose message is sent again."""
    return await _preview(
        visit,
        "Send the message of this event again?",
        "Use it for an event that waits although its message is lost. A message that waits is "
        "kept, and a message that arrives twice has no second effect.",
        "Send again",
    )


async def resend(visit: Visit) -> Done:
    """Send the message again.

    Raises `StateConflict` when the event has ended, or waits for its next attempt.
    """
    event_id = _id(visit)
    if not await visit.services.replay.resend(event_id, visit.actor):
        raise StateConflict("the event has ended, or it waits for its next attempt")
    return Done("The message is sent again.", _address(event_id))


async def preview_discard(visit: Visit) -> Preview:
    """Show the event that is discarded."""
    return await _preview(
        visit,
        "Discard this dead letter?",
        "It ends permanently, and its change is not made. Its history stays.",
        "Discard",
        dangerous=True,
    )


async def discard(visit: Visit) -> Done:
    """Discard the event.

    Raises `StateConflict` when the event is no dead letter.
    """
    event_id = _id(visit)
    wanted = only_dead(EventFilter(ids=(event_id,)))
    if not await Replay.discard(visit.services.replay, wanted, visit.actor):
        raise StateConflict("the event is no dead letter")
    return Done("The dead letter is discarded.", _address(event_id))


async def preview_reveal(visit: Visit) -> Preview:
    """Name the event, and say who learns of the reveal."""
    return await _preview(
        visit,
        "Show the values of this event?",
        "The page shows its personal data. The audit and the history of the event name you.",
        "Show values",
    )


async def reveal(visit: Visit) -> ShownOnce:
    """Show one event with its values, and write that to its history and to the audit."""
    event_id, by = _id(visit), visit.actor

    async def show(db: AsyncConnection) -> EventWithHistory:
        await events.reveal(db, event_id, by)
        return await events.show(db, event_id, reveal=True)

    found = await in_transaction(visit.services.engine, show)
    return ShownOnce("event.html", _data(found, revealed=True))


LIST = ConsolePage(SECTION, "events.html", read_all, menu="Events", icon="events")
ONE = ConsolePage(f"{SECTION}/{{event_id}}", "event.html", read, section=SECTION)
PAGES = (LIST, ONE)
ACTIONS = (
    Action(f"{SECTION}/{{event_id}}/retry", preview_retry, retry, SECTION),
    Action(f"{SECTION}/{{event_id}}/resend", preview_resend, resend, SECTION),
    Action(f"{SECTION}/{{event_id}}/discard", preview_discard, discard, SECTION, Scope.ADMIN),
    Action(f"{SECTION}/{{event_id}}/reveal", preview_reveal, reveal, SECTION, Scope.ADMIN),
)
