"""The audit: the actions of operators."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from zenskar.console.page import ConsolePage, Visit
from zenskar.db.driver.engine import in_transaction
from zenskar.db.operators.actions import ActionFilter, OperatorAction
from zenskar.ids import is_id
from zenskar.model.fields import CUSTOMER
from zenskar.model.operator_action import ActionKind, ActionState
from zenskar.ops import audit

_PAGE = 50
_OF_CONNECTIONS = frozenset(
    {
        *(ActionKind.PAUSE, ActionKind.RESUME, ActionKind.DROP_DELETES, ActionKind.CLOSE_GUARD),
        *(ActionKind.CHECK, ActionKind.POLL, ActionKind.STOP, ActionKind.REPAIR),
        *(ActionKind.BACKFILL, ActionKind.APPLY_REPAIR, ActionKind.APPLY_JOIN),
    }
)
_OF_RECORDS = frozenset(
    {
        *(ActionKind.UNDELETE, ActionKind.LINK, ActionKind.ERASE),
        *(ActionKind.FETCH, ActionKind.PUSH),
    }
)
_OF_EVENTS = frozenset(
    {
        *(ActionKind.RETRY, ActionKind.RESEND, ActionKind.DISCARD),
        *(ActionKind.ACKNOWLEDGE, ActionKind.DEAD_LETTER),
    }
)
"""An action on many events has their connection as its target."""
_OF_KEYS = frozenset({ActionKind.CREATE_KEY, ActionKind.REVOKE_KEY})
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
        "links": {each.id: _link(each) for each in page.actions},
        **visit.shown_filters(_FILTERS),
        "kinds": [kind.value for kind in ActionKind],
        "states": [state.value for state in ActionState],
        **visit.other_pages(page.last_id),
    }


def _link(action: OperatorAction) -> str:
    """Return the page of the target of an action, empty without a page."""
    kind, target = action.action, quote(action.target or "", safe="")
    if not target:
        return ""
    if kind in _OF_CONNECTIONS:
        return f"/connections/{target}"
    if kind in _OF_RECORDS:
        return f"/records/{action.request.get('entity_type', CUSTOMER.entity_type)}/{target}"
    if kind in _OF_KEYS:
        return "/system"
    if kind in _OF_EVENTS:
        return f"/events/{target}" if is_id(target) else f"/connections/{target}"
    return ""


PAGE = ConsolePage("/audit", "audit.html", read, menu="Audit", icon="audit")
