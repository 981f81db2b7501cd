"""Recovery: what a database restored from a backup does not know, and its repair."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from zenskar.console.page import (
    READ_SECONDS,
    ROOT,
    Action,
    ConsolePage,
    Done,
    Preview,
    Visit,
    within,
)
from zenskar.db.driver.engine import in_transaction
from zenskar.db.operators.actions import ActionFilter
from zenskar.errors import InvalidInput
from zenskar.ids import new_id
from zenskar.model.moment import parse_moment
from zenskar.model.operator_action import ActionKind, ActionState
from zenskar.model.scope import Scope
from zenskar.ops import audit
from zenskar.ops.recover import Recovery, RecoveryReport

SECTION = "/recovery"
_SECONDS = 20.0
"""A report reads the topic since the backup."""
_MOST_SHOWN, _MOST_ACTIONS, _MOST_DETAILS = 50, 10, 10


async def read(visit: Visit) -> Mapping[str, Any]:
    """Return the data of the page; the report needs the time of the backup.

    Without a report, the page follows a repetition in progress: a report reads a whole topic.
    """
    since = _since(visit)
    wanted = ActionFilter(action=ActionKind.REPEAT_DELETES)
    async with within(READ_SECONDS):
        found = await in_transaction(
            visit.services.engine, lambda c: audit.page(c, wanted, limit=_MOST_ACTIONS)
        )
    running = [each for each in found.actions if each.state == ActionState.BEGUN]
    return {
        "since": visit.filter("since"),
        "report": await _recovery(visit).report(since) if since else None,
        "actions": found.actions,
        "running": running,
        "live": bool(running) and since is None,
        "most": _MOST_SHOWN,
    }


async def preview_repeat(visit: Visit) -> Preview:
    """Show the records that would be deleted again."""
    since, report = await _report(visit)
    return Preview(
        "Repeat the lost deletes?",
        "These records are deleted again, here and at each connection. An undelete brings a record "
        "back.",
        "Delete again",
        _address(visit),
        counts=[
            ("Time of the backup", f"{since:%Y-%m-%d %H:%M:%S} UTC"),
            ("Records to delete", f"{len(report.deletes):,}"),
        ],
        details=[f"{e.entity_type} {e.record_id}" for e in report.deletes[:_MOST_DETAILS]],
        kept={"deletes": str(len(report.deletes))},
        dangerous=True,
        refusal="" if report.deletes else "No lost delete is left.",
    )


async def repeat(visit: Visit) -> Done:
    """Delete the records again; refuse when their number has changed."""
    by, (since, report) = visit.actor, await _report(visit)
    if visit.form.get("deletes") != str(len(report.deletes)):
        raise InvalidInput("the number of lost deletes has changed: look again")
    done = await _recovery(visit).repeat_deletes(since, by, new_id())
    text = f"{done.deleted:,} of {len(done.deletes):,} records are deleted again."
    if done.left:
        text += f" {done.left:,} are left: repeat the action."
    return Done(text, _address(visit))


async def _report(visit: Visit) -> tuple[datetime, RecoveryReport]:
    since = _since(visit)
    if since is None:
        raise InvalidInput("since: is needed, the time of the backup")
    return since, await _recovery(visit).report(since)


def _recovery(visit: Visit) -> Recovery:
    services = visit.services
    return services.operations.recovery(services.customers.delete, in_request=True)


def _since(visit: Visit) -> datetime | None:
    text = visit.filter("since")
    return parse_moment(text) if text else None


def _address(visit: Visit) -> str:
    return str(visit.request.rel_url.with_path(f"{ROOT}{SECTION}", keep_query=True))


PAGE = ConsolePage(
    SECTION,
    "recovery.html",
    read,
    menu="Recovery",
    icon="recovery",
    scope=Scope.ADMIN,
    seconds=_SECONDS,
)
ACTIONS = (
    Action(f"{SECTION}/repeat-deletes", preview_repeat, repeat, SECTION, Scope.ADMIN, _SECONDS),
)
