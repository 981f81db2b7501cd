"""Customer search over a view that lags behind the writes."""

from __future__ import annotations

import base64
import binascii
from collections import deque
from typing import TYPE_CHECKING, Any

from .errors import invalid, missing_parameter
from .query import Query, parse_query, terms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zenskar.http.lookalike import Record


class SearchView:
    """The customers of the search index, which shows a write after the lag."""

    def __init__(self, clock: Callable[[], float], lag: float) -> None:
        self._clock = clock
        self._lag = lag
        self._coming: deque[tuple[float, str, Record | None]] = deque()
        self._seen: dict[str, Record] = {}
        self._order: dict[str, int] = {}
        self._index: dict[tuple[str, str], set[str]] = {}

    def put(self, customer: Record, at: float | None = None) -> None:
        """Index a created or updated customer."""
        self._write(customer["id"], customer, at)

    def remove(self, identifier: str) -> None:
        """Remove a deleted customer from the index."""
        self._write(identifier, None, None)

    def clear(self) -> None:
        """Clear the index."""
        self._coming.clear()
        self._seen.clear()
        self._order.clear()
        self._index.clear()

    def page(self, params: Mapping[str, Any]) -> Record:
        """Return a page of matches, newest first."""
        if not params.get("query"):
            raise missing_parameter("query")
        query, start = parse_query(params["query"]), _offset(params.get("page"))
        self._catch_up()
        found = [seen for seen in self._candidates(query, start) if query.matches(seen)]
        limit = params.get("limit", 10)
        more = len(found) > limit
        return {
            "object": "search_result",
            "data": found[:limit],
            "has_more": more,
            "next_page": _token(self._order[found[limit - 1]["id"]]) if more else None,
            "url": "/v1/customers/search",
        }

    def _write(self, identifier: str, customer: Record | None, at: float | None) -> None:
        self._coming.append((self._clock() if at is None else at, identifier, customer))
        self._catch_up()

    def _catch_up(self) -> None:
        due = self._clock() - self._lag
        while self._coming and self._coming[0][0] <= due:
            _, identifier, customer = self._coming.popleft()
            self._show(identifier, customer)

    def _show(self, identifier: str, customer: Record | None) -> None:
        old = set(terms(self._seen.pop(identifier, _BLANK)).items())
        new = set(terms(customer or _BLANK).items())
        for term in old - new:
            self._index[term].discard(identifier)
            if not self._index[term]:
                del self._index[term]
        for term in new - old:
            self._index.setdefault(term, set()).add(identifier)
        if customer is not None:
            self._seen[identifier] = customer
            self._order.setdefault(identifier, len(self._order))

    def _candidates(self, query: Query, start: int | None) -> list[Record]:
        needed = query.needed_term()
        ids = self._seen if needed is None else self._index.get(needed, ())
        wanted = [each for each in ids if start is None or self._order[each] < start]
        wanted.sort(key=self._order.__getitem__, reverse=True)
        return [self._seen[each] for each in wanted]


_BLANK: Record = {"email": None, "name": None, "phone": None, "metadata": {}}


def _token(order: int) -> str:
    return base64.urlsafe_b64encode(str(order).encode()).decode()


def _offset(token: str | None) -> int | None:
    if not token:
        return None
    try:
        return int(base64.urlsafe_b64decode(token))
    except (binascii.Error, ValueError):
        raise invalid("Invalid page token.", "page") from None
