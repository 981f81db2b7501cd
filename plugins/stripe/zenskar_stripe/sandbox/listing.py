"""Cursor pages over a timeline: https://docs.stripe.com/api/pagination."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from .errors import invalid, no_such

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from zenskar.http.lookalike import Record

    from .timeline import Timeline

_COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


@dataclass(frozen=True, slots=True)
class Listing:
    """A kind of object that can be listed."""

    noun: str
    url: str
    timeline: Timeline
    objects: Mapping[str, Record]

    def page(
        self,
        params: Mapping[str, Any],
        keep: Callable[[Record], bool] = lambda _: True,
        among: Collection[str] | None = None,
    ) -> Record:
        """Return a page of the objects that match the filters, newest first."""
        limit = params.get("limit", 10)
        bounds = params.get("created") or {}

        def wanted(record: Record) -> bool:
            return _within(record["created"], bounds) and keep(record)

        candidates = (self.objects[identifier] for identifier in self._walk(params, among))
        found = list(islice(filter(wanted, candidates), limit + 1))
        data = found[:limit]
        if params.get("ending_before"):
            data.reverse()
        return {"object": "list", "data": data, "has_more": len(found) > limit, "url": self.url}

    def _walk(self, params: Mapping[str, Any], among: Collection[str] | None) -> Iterator[str]:
        after, before = params.get("starting_after"), params.get("ending_before")
        if after and before:
            message = "You may only specify one of these parameters: starting_after, ending_before."
            raise invalid(message, "ending_before")
        for name, cursor in (("starting_after", after), ("ending_before", before)):
            if cursor and cursor not in self.timeline:
                raise no_such(self.noun, cursor, param=name, status=400)
        if before:
            return self.timeline.newer(before, among)
        return self.timeline.older(after, among, _floor(params.get("created") or {}))


def _within(created: int, bounds: Mapping[str, int]) -> bool:
    return all(_COMPARE[name](created, bound) for name, bound in bounds.items())


def _floor(bounds: Mapping[str, int]) -> int | None:
    lowest = [bound for name, bound in bounds.items() if name in ("eq", "gt", "gte")]
    return max(lowest, default=None)
