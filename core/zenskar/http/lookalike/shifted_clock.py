"""The clock of a look-alike, which may be set to a wrong time."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class ShiftedClock:
    """Returns Unix seconds with an offset to another clock."""

    def __init__(self, base: Callable[[], float]) -> None:
        self._base = base
        self.shift = 0.0

    def __call__(self) -> float:
        """Return the present time."""
        return self._base() + self.shift

    def header(self) -> str:
        """Return the present second as a `Date` header: RFC 9110, section 6.6.1."""
        return formatdate(int(self()), usegmt=True)
