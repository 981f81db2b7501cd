"""Poll the contacts that changed, by their modification stamp.

A row gets its stamp when it is written, and shows when its transaction commits, up to ten minutes
later. So each poll begins some minutes before the last one. Contacts in the recycle bin show for 15
days: https://help.salesforce.com/s/articleView?id=xcloud.home_delete.htm.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from zenskar import Changes, WebhookEvent
from zenskar.webhooks import event_digest
from zenskar_salesforce import contacts
from zenskar_salesforce.client import SalesforceApi
from zenskar_salesforce.lookup import PAGE, SELECT, has_more, quoted

OVERLAP_SECONDS = 13 * 60
"""The longest transaction (10 minutes), the longest query (2 minutes), and a margin."""
FIRST_SECONDS = 86_400
"""The start of the first poll: `zenskar backfill` imports what is older."""
KEPT_SECONDS = 14 * 86_400
"""For this long a deleted contact certainly shows."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the feed: the rows since a second of Salesforce's clock.

    Within a poll, `stamp` and `last` are those of the last row, and `began` is the second in which
    Salesforce answered the first page. `org` is the org of the rows.
    """

    since: int
    org: str | None = None
    began: int | None = None
    stamp: int | None = None
    last: str = ""

    @classmethod
    def of(cls, checkpoint: str | None) -> "Position":
        """Return the position that a checkpoint holds, or the first position."""
        if checkpoint is None:
            return cls(int(time.time()) - FIRST_SECONDS)
        return cls(**json.loads(checkpoint))

    @property
    def checkpoint(self) -> str:
        """The position as a text."""
        return json.dumps(asdict(self))

    @property
    def condition(self) -> str:
        """The condition of a query for the rows after this position.

        Several rows may have one stamp, so the id decides within a second.
        """
        if self.stamp is None:
            return f"SystemModstamp >= {_moment(self.since)}"
        stamp = _moment(self.stamp)
        after = f"SystemModstamp = {stamp} AND Id > {quoted(self.last)}"
        return f"SystemModstamp > {stamp} OR ({after})"


async def changes(api: SalesforceApi, checkpoint: str | None) -> Changes:
    """Return a page of changed and deleted contacts, oldest first."""
    position = Position.of(checkpoint)
    text = f"{SELECT} WHERE {position.condition} ORDER BY SystemModstamp, Id LIMIT {PAGE}"
    rows = await api.query(text, deleted=True)
    began = position.began or rows.answered_at or int(time.time())
    then = Position(began - OVERLAP_SECONDS, api.org_id)
    more = has_more(rows)
    if more:
        last = rows.records[-1]
        stamp, identifier = contacts.second(last["SystemModstamp"]), str(last["Id"])
        then = replace(then, since=position.since, began=began, stamp=stamp, last=identifier)
    return Changes(
        tuple(_event(row) for row in rows.records),
        then.checkpoint,
        more=more,
        lost=_is_lost(position, began, api.org_id),
        answered_at=rows.answered_at,
    )


def _is_lost(position: Position, began: int, org: str | None) -> bool:
    """Return whether deletes may be missing, or the rows belong to another org."""
    another_org = position.org is not None and org is not None and position.org != org
    is_first_page = position.stamp is None
    return another_org or (is_first_page and began - position.since > KEPT_SECONDS)


def _event(row: Mapping[str, Any]) -> WebhookEvent:
    """Return an event; its id holds the state, so a row that is read again has no effect."""
    state = {name: value for name, value in row.items() if name != "attributes"}
    identifier = f"{row.get('Id')}:{row.get('SystemModstamp')}:{event_digest(state)[:16]}"
    kind = "contact.deleted" if row.get("IsDeleted") else "contact.changed"
    kind = "contact.merged" if contacts.is_merged(row) else kind
    return WebhookEvent(identifier, kind, seen=contacts.seen(row))


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
