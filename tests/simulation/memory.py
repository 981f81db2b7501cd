"""The acts of a story, and the values that it has written."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Act:
    """An act. `who` selects a customer, `what` a field, a fault or a failpoint."""

    kind: str
    who: int = 0
    what: str = ""
    value: str = ""
    seconds: float = 0.0


@dataclass
class Written:
    """A written value that must not be lost without a trace."""

    value: str
    side: str
    whose: str
    field: str = ""


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
    copies: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The numbers of records and objects of each person before both sides are joined."""
    joined: bool = False
    guesses: list[str] = field(default_factory=list)
    """Breaches that were found before the connection worked."""
    faults: int = 0
    set_back: bool = False

    def forget(self, record_id: str | None) -> None:
        """Drop the expectation for a record, since its next edit competes."""
        self.restored = [one for one in self.restored if one.whose != record_id]

    def outdate(self, side: str, whose: str, name: str) -> None:
        """Drop the values that this side has written to a field, and that it overwrites now."""
        old = (side, whose, name)
        self.written = [one for one in self.written if (one.side, one.whose, one.field) != old]

    def copy(self, mail: str, *, here: int = 0, there: int = 0) -> None:
        """Count a copy of a person."""
        records, objects = self.copies.get(mail, (0, 0))
        self.copies[mail] = (records + here, objects + there)
