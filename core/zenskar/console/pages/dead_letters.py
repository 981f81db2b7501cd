"""The dead letters: groups with one cause, the letters of a filter, and the actions on them."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.console.page import ROOT, Action, ConsolePage, Done, Preview, Visit
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events.event_log import EventFilter
from zenskar.db.events.event_search import FoundEvents
from zenskar.errors import StateConflict
from zenskar.model.scope import Scope
from zenskar.model.sync_event import Direction
from zenskar.ops import dead_letters, events
from zenskar.ops.dead_letters import LetterGroup
from zenskar.ops.replay import Replay

SECTION = "/dead-letters"
_PAGE, _GROUPS, _EXAMPLES = 50, 50, 5
_FILTERS = (
    "source",
    "reason",
    "error_kind",
    "event_type",
    "error",
    "direction",
    "since",
    "until",
)


async def read(visit: Visit) -> Mapping[str, Any]:
    """Return the data of the page."""
    wanted, before = _filter(visit), visit.before
    one_group = wanted.error is not None

    async def load(db: AsyncConnection) -> tuple[list[LetterGroup], FoundEvents]:
        groups = [] if one_group or before else await dead_letters.groups(db, wanted)
        return list(groups), await events.search(db, wanted, limit=_PAGE, before=before)

    groups, found = await in_transaction(visit.services.engine, load)
    return {
        "groups": [
            (group, _query_of(group), _query_of(group, visit)) for group in groups[:_GROUPS]
        ],
        "more_groups": max(0, len(groups) - _GROUPS),
        "found": found,
        **visit.shown_filters(_FILTERS),
        "chosen": _query(visit),
        "directions": [direction.value for direction in Direction],
        "sources": visit.services.router.sources,
        **visit.other_pages(found.last_id),
    }


def _filter(visit: Visit) -> EventFilter:
    """Return the filter in the address. Raises `InvalidInput`."""
    return dead_letters.only_dead(visit.filter_as(EventFilter, _FILTERS))


def _query_of(group: LetterGroup, visit: Visit | None = None) -> str:
    """Return the query that selects a group, within the times of a page if one is given."""
    about = {
        **({} if visit is None else visit.filters(("since", "until"))),
        "source": group.source,
        "direction": group.direction,
        "error_kind": group.error_kind,
        "reason": group.reason,
        "error": group.error,
    }
    return urlencode({name: value for name, value in about.items() if value})


def _query(visit: Visit) -> str:
    """Return the query of the filter in the address."""
    given = visit.filters(_FILTERS)
    return urlencode({name: value for name, value in given.items() if value})


async def _preview(visit: Visit, preview: Preview) -> Preview:
    """Return a preview with the number of letters, with examples and with the filter in words."""
    wanted = _filter(visit)
    found = await in_transaction(
        visit.services.engine, lambda c: events.search(c, wanted, limit=_EXAMPLES)
    )
    count = f"{found.total:,}{'' if found.exact else '+'}"
    given = visit.filters(_FILTERS)
    chosen = [(name.replace("_", " "), value) for name, value in given.items() if value]
    details = [f"{each.event_type}: {each.error_message or each.reason}" for each in found.events]
    return Preview(
        preview.title,
        preview.text,
        preview.confirm,
        _address(visit),
        counts=[("Dead letters", count), *chosen],
        details=details,
        kept={"expected": count},
        dangerous=preview.dangerous,
        refusal="" if found.total else "No dead letter matches any more.",
    )


async def preview_acknowledge(visit: Visit) -> Preview:
    """Show the letters of the cause."""
    return await _preview(
        visit,
        Preview(
            "Acknowledge these dead letters?",
            "It says that you work on their cause. They stay dead letters, and count as new again "
            "when another of them dies.",
            "Acknowledge",
            "",
        ),
    )


async def acknowledge(visit: Visit) -> Done:
    """Acknowledge the cause."""
    wanted, by = _filter(visit), visit.actor
    count = await in_transaction(
        visit.services.engine, lambda c: dead_letters.acknowledge(c, wanted, by)
    )
    return Done(f"{_letters(count)} acknowledged.", f"{ROOT}{SECTION}")


async def preview_retry(visit: Visit) -> Preview:
    """Show what would be retried."""
    return await _preview(
        visit,
        Preview(
            "Retry these dead letters?",
            "They are processed again from the present state of both sides. Fix the cause first: "
            "those that fail again come back.",
            "Retry",
            "",
        ),
    )


async def retry(visit: Visit) -> Done:
    """Retry what the preview has shown."""
    wanted = await _unchanged(visit)
    done = await visit.services.replay.retry(wanted, visit.actor)
    return Done(f"{_letters(done)} processed again.", f"{ROOT}{SECTION}")


async def preview_discard(visit: Visit) -> Preview:
    """Show what would be discarded."""
    return await _preview(
        visit,
        Preview(
            "Discard these dead letters?",
            "They end permanently, and their changes are not made. Their history stays.",
            "Discard",
            "",
            dangerous=True,
        ),
    )


async def discard(visit: Visit) -> Done:
    """Discard what the preview has shown."""
    wanted = await _unchanged(visit)
    done = await Replay.discard(visit.services.replay, wanted, visit.actor)
    return Done(f"{_letters(done)} discarded.", f"{ROOT}{SECTION}")


async def _unchanged(visit: Visit) -> EventFilter:
    """Return the filter. Raises `StateConflict` when the number differs from the preview."""
    wanted = _filter(visit)
    found = await in_transaction(visit.services.engine, lambda c: events.search(c, wanted, limit=1))
    now = f"{found.total:,}{'' if found.exact else '+'}"
    if now != visit.form.get("expected"):
        raise StateConflict(f"the number of dead letters has changed to {now}")
    return wanted


def _letters(count: int) -> str:
    return "1 dead letter is" if count == 1 else f"{count:,} dead letters are"


def _address(visit: Visit) -> str:
    query = _query(visit)
    return f"{ROOT}{SECTION}?{query}" if query else f"{ROOT}{SECTION}"


PAGE = ConsolePage(SECTION, "dead_letters.html", read, menu="Dead letters", icon="dead")
ACTIONS = (
    Action(f"{SECTION}/acknowledge", preview_acknowledge, acknowledge, SECTION),
    Action(f"{SECTION}/retry", preview_retry, retry, SECTION),
    Action(f"{SECTION}/discard", preview_discard, discard, SECTION, Scope.ADMIN),
)
