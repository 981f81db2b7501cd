"""The objects of a look-alike, in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from zenskar.http.lookalike.record_store import Record


@dataclass(frozen=True, slots=True)
class ObjectPage:
    """A page of objects, and the cursor of the next page, None on the last page."""

    objects: tuple[Record, ...]
    next_cursor: str | None


class Objects(Mapping[str, "Record"]):
    """The living objects by id, in the order of their creation.

    An id is `prefix` and a number. `gone` holds the ids of the deleted objects.
    """

    def __init__(self, prefix: str) -> None:
        self.gone: set[str] = set()
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._positions: dict[str, int] = {}
        self._living: dict[str, Record] = {}

    def __getitem__(self, identifier: str) -> Record:
        """Return a living object."""
        return self._living[identifier]

    def __iter__(self) -> Iterator[str]:
        return iter(self._living)

    def __len__(self) -> int:
        return len(self._living)

    def add(self, members: Mapping[str, Any]) -> Record:
        """Create an object with an `id`."""
        number = next(self._numbers)
        identifier = f"{self._prefix}{number}"
        self._positions[identifier] = number
        self._living[identifier] = {"id": identifier, **members}
        return self._living[identifier]

    def change(self, identifier: str, members: Mapping[str, Any]) -> Record:
        """Replace the given members of a living object. Raises `KeyError` without one."""
        self._living[identifier] = {**self._living[identifier], **members}
        return self._living[identifier]

    def remove(self, identifier: str) -> Record:
        """Delete a living object, and return its last state. Raises `KeyError` without one."""
        last = self._living.pop(identifier)
        self.gone.add(identifier)
        return last

    def clear(self) -> None:
        """Remove every object without a trace; numbers go on."""
        self._living.clear()
        self._positions.clear()
        self.gone.clear()

    def page(
        self,
        limit: int,
        cursor: str | None = None,
        wanted: Callable[[Record], bool] = lambda _: True,
    ) -> ObjectPage:
        """Return the next objects that are wanted; the cursor is the last id of a page.

        A deleted object stays a cursor, so no page shifts. Raises `KeyError` for another cursor.
        """
        after = 0 if cursor is None else self._positions[cursor]
        found = [
            each
            for identifier, each in self._living.items()
            if self._positions[identifier] > after and wanted(each)
        ]
        more = len(found) > limit
        return ObjectPage(tuple(found[:limit]), found[limit - 1]["id"] if more else None)
