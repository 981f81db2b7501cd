"""The logs of calls and webhook attempts, without bodies."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

_Entry = TypeVar("_Entry")
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """A call; `status` is None when the client got no answer.

    `replayed` means that the answer was stored with the idempotency key. `fault` is the kind of
    the fault that hit the call.
    """

    request_id: str
    time: float
    method: str
    path: str
    idempotency_key: str | None
    status: int | None
    replayed: bool = False
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedDelivery:
    """An attempt to deliver an event; `status` is None when there was no answer.

    `answer` is the beginning of the receiver's answer.
    """

    time: float
    event: str
    type: str
    endpoint: str
    url: str
    attempt: int
    status: int | None
    error: str | None
    fault: str | None
    answer: str = field(default="", repr=False)


class Log(Generic[_Entry]):
    """The latest entries, oldest first."""

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque(maxlen=_MOST)

    def __iter__(self) -> Iterator[_Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: _Entry) -> None:
        """Append an entry, which replaces the oldest entry of a full log."""
        self._entries.append(entry)

    def clear(self) -> None:
        """Remove every entry."""
        self._entries.clear()
