"""The creation order of one kind of object, read from a cursor without sorting."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


class Timeline:
    """Ids by position; removed ids keep their position, so that they still serve as cursors."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._latest: list[int] = []
        self._position: dict[str, int] = {}
        self._gone: set[str] = set()

    def __contains__(self, identifier: str) -> bool:
        """Return whether the id was ever added."""
        return identifier in self._position

    def add(self, identifier: str, created: int) -> None:
        """Append an id."""
        self._position[identifier] = len(self._ids)
        self._ids.append(identifier)
        # The running maximum stays sorted even when the clock is set to an earlier time.
        self._latest.append(max(created, self._latest[-1]) if self._latest else created)

    def remove(self, identifier: str) -> None:
        """Hide an id from the results."""
        self._gone.add(identifier)

    def clear(self) -> None:
        """Remove every id."""
        self._ids.clear()
        self._latest.clear()
        self._position.clear()
        self._gone.clear()

    def older(
        self, cursor: str | None, among: Collection[str] | None = None, since: int | None = None
    ) -> Iterator[str]:
        """Return ids newest first, from just before the cursor or from the end."""
        end = len(self._ids) if cursor is None else self._position[cursor]
        start = 0 if since is None else bisect_left(self._latest, since)
        return self._walk(reversed(self._positions(start, end, among)))

    def newer(self, cursor: str, among: Collection[str] | None = None) -> Iterator[str]:
        """Return ids oldest first, from just after the cursor."""
        return self._walk(self._positions(self._position[cursor] + 1, len(self._ids), among))

    def _positions(self, start: int, end: int, among: Collection[str] | None) -> range | list[int]:
        if among is None:
            return range(start, end)
        places = sorted(self._position[identifier] for identifier in among)
        return [place for place in places if start <= place < end]

    def _walk(self, places: Iterator[int] | range | list[int]) -> Iterator[str]:
        for place in places:
            if (identifier := self._ids[place]) not in self._gone:
                yield identifier
