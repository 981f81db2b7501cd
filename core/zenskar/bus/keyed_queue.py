"""Received messages that wait for a worker, in order and exclusive by key."""

from collections import deque
from collections.abc import Iterable

from zenskar.bus.port import Delivery


class KeyedQueue:
    """A queue in which a taken message holds its key until `finish` or `put_back`.

    With `exclusive` it returns one message of a key at a time, else all that fit into a batch.
    """

    def __init__(self, *, exclusive: bool) -> None:
        self._exclusive = exclusive
        self._ready: deque[Delivery] = deque()
        self._behind: dict[str, deque[Delivery]] = {}
        self._held: dict[str, int] = {}
        self._size = 0

    def __len__(self) -> int:
        """Return the number of waiting messages."""
        return self._size

    def put(self, deliveries: Iterable[Delivery]) -> None:
        """Add messages, each after the earlier ones of its key."""
        before = len(self._ready)
        self._ready.extend(deliveries)
        self._size += len(self._ready) - before

    def take(self, most: int) -> list[Delivery]:
        """Return at most `most` messages and hold their keys."""
        taken: list[Delivery] = []
        mine: set[str] = set()
        while self._ready and len(taken) < most:
            delivery = self._ready.popleft()
            key = delivery.key
            if key in self._held and (self._exclusive or key not in mine):
                self._behind.setdefault(key, deque()).append(delivery)
                continue
            self._held[key] = self._held.get(key, 0) + 1
            mine.add(key)
            taken.append(delivery)
        self._size -= len(taken)
        return taken

    def finish(self, delivery: Delivery) -> None:
        """Release the key of a processed message, unless other messages hold the key."""
        key = delivery.key
        self._held[key] -= 1
        if self._held[key]:
            return
        del self._held[key]
        behind = self._behind.pop(key, None)
        if behind is None:
            return
        if self._exclusive and len(behind) > 1:
            self._ready.appendleft(behind.popleft())
            self._behind[key] = behind
        else:
            self._ready.extendleft(reversed(behind))

    def put_back(self, delivery: Delivery) -> None:
        """Return a message to the queue, before the others of its key."""
        self._behind.setdefault(delivery.key, deque()).appendleft(delivery)
        self._size += 1
        self.finish(delivery)

    def clear(self) -> None:
        """Remove the waiting messages; taken messages still hold their keys."""
        self._ready.clear()
        self._behind.clear()
        self._size = 0
