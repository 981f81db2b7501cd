"""Limits of members and nesting of a JSON document.

Parsing a document is cheap for its size. Later steps cost time for each member and recurse for
each level.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zenskar.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Bounds:
    """The maximum of members, of all objects and arrays together, and of nesting levels."""

    members: int
    depth: int

    def check(self, value: Any, text: bytes) -> None:
        """Raise `InvalidInput` unless the document that `text` encodes is within the limits."""
        if problem := self.problem(value, text):
            raise InvalidInput(f"the body {problem}")

    def problem(self, value: Any, text: bytes | None = None) -> str | None:
        """Return the limit that a document exceeds, as text; None if it exceeds none.

        `text` encodes the document: most texts show faster that the document is within the limits.
        """
        if text is not None and self._is_within(text):
            return None
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

    def _is_within(self, text: bytes) -> bool:
        """Return whether the characters of a text, an upper bound, are within the limits."""
        opened = text.count(b"{") + text.count(b"[")
        return opened <= self.depth and opened + text.count(b",") <= self.members


def _members(found: dict[str, Any] | list[Any]) -> Iterator[Any]:
    return iter(found.values() if isinstance(found, dict) else found)
