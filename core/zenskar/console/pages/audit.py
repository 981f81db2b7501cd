"""The audit: the actions of operators."""

from collections.abc import Mapping
from typing import Any

from zenskar.console.page import ConsolePage, Visit
from zenskar.db.driver.engine import in_transaction
from zenskar.db.operators.actions import ActionFilter
from zenskar.model.operator_action import ActionKind, ActionState
from zenskar.ops import audit

_PAGE = 50
_FILTERS = ("action", "target", "state", "since", "until")


async def read(visit: Visit) -> Mapping[str, Any]:
    """Return the data of the page."""
    wanted = visit.filter_as(ActionFilter, _FILTERS)
    before = visit.before
    page = await in_transaction(
        visit.services.engine,
        lambda c: audit.page(c, wanted, limit=_PAGE, before=before),
    )
    return {
        "actions": page.actions,
        **visit.shown_filters(_FILTERS),
        "kinds": [kind.value for kind in ActionKind],
        "states": [state.value for state in ActionState],
        **visit.other_pages(page.last_id),
    }


PAGE = ConsolePage("/audit", "audit.html", read, menu="Audit", icon="audit")
