"""Poll the records that changed, by their modification stamp.

A row gets its stamp when it is written, and shows when its transaction commits, up to ten minutes
later. So each poll begins some minutes before the last one. Records in the recycle bin show for 15
days: https://help.salesforce.com/s/articleView?id=xcloud.home_delete.htm.
"""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from zenskar import Changes, WebhookEvent
from zenskar.webhooks import event_digest
from zenskar_salesforce.client import SalesforceApi
from zenskar_salesforce.lookup import PAGE, has_more, quoted
from zenskar_salesforce.object_kinds import ObjectKind, is_merged, second
from zenskar_salesforce.record_ids import long_id

OVERLAP_SECONDS = 13 * 60
"""The longest transaction (10 minutes), the longest query (2 minutes), and a margin."""
FIRST_SECONDS = 86_400
"""The start of the first poll: `zenskar backfill` imports what is older."""
KEPT_SECONDS = 14 * 86_400
"""For this long a deleted record certainly shows."""


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
    def of(cls, checkpoint: str | None) -> "Position | None":
        """Return the position that a checkpoint holds, None for an unreadable checkpoint."""
        if checkpoint is None:
            return cls.first()
        try:
            return cls(**json.loads(checkpoint))
        except (ValueError, TypeError):
            return None

    @classmethod
    def first(cls) -> "Position":
        """Return the position of a first poll."""
        return cls(int(time.time()) - FIRST_SECONDS)

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
    """Return a page of changed and deleted records, oldest first."""
    known = Position.of(checkpoint)
    position = known or Position.first()
    text = f"{api.kind.select} WHERE {position.condition} ORDER BY SystemModstamp, Id LIMIT {PAGE}"
    rows = await api.query(text, deleted=True)
    began = position.began or rows.answered_at or int(time.time())
    then = Position(began - OVERLAP_SECONDS, api.org_id)
    more, last = has_more(rows), _last(rows.records)
    if more and last is not None:
        stamp, identifier = last
        then = replace(then, since=position.since, began=began, stamp=stamp, last=identifier)
    # Nothing leads to the rows behind a page without any place.
    is_cut = more and last is None
    return Changes(
        tuple(_event(api.kind, row) for row in rows.records),
        then.checkpoint,
        more=more and last is not None,
        lost=known is None or is_cut or _is_lost(position, began, api.org_id),
        answered_at=rows.answered_at,
    )


def _last(rows: Sequence[Mapping[str, Any]]) -> tuple[int, str] | None:
    """Return the place of the last row that has one; rows behind it are listed again."""
    for row in reversed(rows):
        identifier = long_id(str(row.get("Id")))
        with suppress(KeyError, TypeError, ValueError):
            if identifier is not None:
                return second(row["SystemModstamp"]), identifier
    return None


def _is_lost(position: Position, began: int, org: str | None) -> bool:
    """Return whether deletes may be missing, or the rows belong to another org."""
    another_org = position.org is not None and org is not None and position.org != org
    is_first_page = position.stamp is None
    return another_org or (is_first_page and began - position.since > KEPT_SECONDS)


def _event(kind: ObjectKind, row: Mapping[str, Any]) -> WebhookEvent:
    """Return an event; its id holds the state, so a row that is read again has no effect."""
    state = {name: value for name, value in row.items() if name != "attributes"}
    identifier = f"{row.get('Id')}:{row.get('SystemModstamp')}:{event_digest(state)[:16]}"
    what = "deleted" if row.get("IsDeleted") else "changed"
    what = "merged" if is_merged(row) else what
    return WebhookEvent(identifier, f"{kind.name.lower()}.{what}", seen=kind.listed(row))


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
