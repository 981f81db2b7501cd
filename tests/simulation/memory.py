"""The acts of a story, and the values that it has written."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from zenskar.model.fields import Document, Fields


@dataclass(frozen=True)
class Act:
    """An act. `who` selects a customer, `what` a field, a fault or a failpoint."""

    kind: str
    who: int = 0
    what: str = ""
    value: str = ""
    seconds: float = 0.0


class Loss(StrEnum):
    """The kind of a permanent loss of webhooks."""

    FAILED = "failed"
    """All attempts fail, so the feed lists the event."""
    UNLISTED = "unlisted"
    """The feed does not list the event either."""


@dataclass(frozen=True)
class Written:
    """A written value that must not be lost without a trace; None for a value that was emptied.

    The sides: `internal`; `external`; `beside`; `unseen` before a join; `unheard` if no event shows
    it, so that nobody may know it once it is overwritten.
    """

    value: str | None
    side: str
    whose: str
    path: str = ""


def leaves(patch: Document) -> Iterator[tuple[str, str | None]]:
    """Yield each path of a merge patch with its text, None for a value that is emptied.

    An address has the text of its first member.
    """
    for name, value in patch.items():
        if name == "metadata":
            yield from ((f"/metadata/{key}", text) for key, text in value.items())
        elif isinstance(value, Mapping):
            yield f"/{name}", next(iter(value.values()))
        else:
            yield f"/{name}", value


@dataclass
class Restored:
    """An old value of ours that an external edit restored at rest."""

    whose: str
    path: str
    value: str


@dataclass
class Memory:
    """The customers created, the values written, and the values restored since the last edit."""

    local: list[str] = field(default_factory=list)
    external: list[str] = field(default_factory=list)
    written: list[Written] = field(default_factory=list)
    restored: list[Restored] = field(default_factory=list)
    bin: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The deleted customers that may be restored, by id."""
    returned: set[str] = field(default_factory=set)
    """The ids of the customers that were restored."""
    ghosts: set[str] = field(default_factory=set)
    """The ids of the customers that were deleted long before their first event."""
    waited: float = 0.0
    """The seconds without a change before late webhooks."""
    copies: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The numbers of records and objects of each person before both sides are joined."""
    full: bool = False
    """Whether both sides hold the same people before they are joined."""
    joined: bool = True
    wrong: list[str] = field(default_factory=list)
    """Breaches that were found before the end."""
    faults: int = 0
    set_back: bool = False
    unlisted: bool = False
    """Whether an event was lost that no feed lists."""
    blind: set[str] = field(default_factory=set)
    """The records that were replaced by an old reading."""
    effects: Counter[str] = field(default_factory=Counter)
    """The number of acts that took effect."""

    def note(
        self, side: str, whose: str, patch: Document, before: Fields = MappingProxyType({})
    ) -> bool:
        """Note the values of a merge patch; return whether it may have changed anything."""
        found = [
            Written(value, side, whose, path)
            for path, value in leaves(patch)
            if value is not None or path in before
        ]
        self.written += found
        return bool(found)

    def forget(self, record_id: str | None) -> None:
        """Drop the expectation for a record, since its next edit competes."""
        self.restored = [one for one in self.restored if one.whose != record_id]

    def outdate(self, side: str, whose: str, path: str) -> None:
        """Drop the values that this side has written to a field, and that it overwrites now."""
        old = (side, whose, path)
        self.written = [one for one in self.written if (one.side, one.whose, one.path) != old]

    def hide(self, whose: str) -> None:
        """Expect no trace of old values of an object that had no record for a while."""
        self.written = [
            replace(one, side="unheard") if one.whose == whose else one for one in self.written
        ]

    def copy(self, mail: str, *, here: int = 0, there: int = 0) -> None:
        """Count a copy of a person."""
        records, objects = self.copies.get(mail, (0, 0))
        self.copies[mail] = (records + here, objects + there)
