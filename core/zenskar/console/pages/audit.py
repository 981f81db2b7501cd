"""The audit: the actions of operators."""

from collections.abc import Mapping
from typing import Any

from zenskar.api.http import cursors
from zenskar.console.page import ConsolePage, Visit
from zenskar.db.driver.engine import in_transaction
from zenskar.db.operators.actions import ActionFilter
from zenskar.model.operator_action import ActionKind, ActionState
from zenskar.ops import audit

_PAGE = 50


async def read(visit: Visit) -> Mapping[str, Any]:
    """Return the data of the page."""
    filters = visit.filters(("action", "target", "state", "since", "until"))
    wanted = ActionFilter(
        filters["action"],
        filters["target"],
        filters["state"],
        visit.moment("since"),
        visit.moment("until"),
    )
    before = cursors.decode(visit.filter("cursor"))
    page = await in_transaction(
        visit.services.engine,
        lambda c: audit.page(c, wanted, limit=_PAGE, before=before),
    )
    following = cursors.encode(page.last_id)
    return {
        "actions": page.actions,
        "filters": filters,
        "filtered": any(filters.values()),
        "kinds": [kind.value for kind in ActionKind],
        "states": [state.value for state in ActionState],
        "next": visit.address(cursor=following) if following else None,
        "first": visit.address(cursor=None) if before else None,
    }


PAGE = ConsolePage("/audit", "audit.html", read, menu="Audit", icon="audit")
