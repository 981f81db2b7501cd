"""How much a JSON document may hold.

To read a document costs little for its size; what is done with it afterwards costs so much for
each member, or goes as deep as it does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zenskar.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most members, of all objects and arrays together, and levels of nesting."""

    members: int
    depth: int

    def check(self, value: Any, text: bytes) -> None:
        """Raise `InvalidInput` unless a document, which this text says, lies within."""
        opened = text.count(b"{") + text.count(b"[")
        # No document has more of either than its text has such characters; most end here.
        if opened <= self.depth and opened + text.count(b",") <= self.members:
            return
        if problem := self.problem(value):
            raise InvalidInput(f"the body {problem}")

    def problem(self, value: Any) -> str | None:
        """Say what is too much of a document, None if nothing is."""
        left, inner = self.members, [iter((value,))]
        while inner:
            for found in inner[-1]:
                if isinstance(found, (dict, list)):
                    left -= len(found)
                    inner.append(_members(found))
                    break
            else:
                inner.pop()
            if left < 0:
                return f"has more than {self.members} members"
            if len(inner) > self.depth + 1:
                return f"is nested more than {self.depth} levels deep"
        return None


def _members(found: dict[str, Any] | list[Any]) -> Iterator[Any]:
    return iter(found.values() if isinstance(found, dict) else found)
