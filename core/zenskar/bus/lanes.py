"""Received messages that wait for a worker, in order, and with `exclusive` one by one by key."""

from collections import deque
from collections.abc import Callable, Iterable

from zenskar.bus.port import Delivery


class Lanes:
    """A lane for each key, or one for all. A key stays busy until its message is let go."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Delivery]] = {}
        self._ready: deque[Delivery] = deque()
        self._busy: set[str] = set()
        self._size = 0

    def __len__(self) -> int:
        """How many messages wait."""
        return self._size

    def put(self, deliveries: Iterable[Delivery], *, exclusive: bool) -> None:
        """Add messages, each behind those of its key."""
        for delivery in deliveries:
            self._size += 1
            if not exclusive:
                self._ready.append(delivery)
            elif delivery.key in self._busy:
                self._waiting.setdefault(delivery.key, deque()).append(delivery)
            else:
                self._busy.add(delivery.key)
                self._ready.append(delivery)

    def take(self, most: int) -> list[Delivery]:
        """Return messages to work on now."""
        taken = [self._ready.popleft() for _ in range(min(most, len(self._ready)))]
        self._size -= len(taken)
        return taken

    def finish(self, delivery: Delivery) -> None:
        """Let the next message of this key go."""
        waiting = self._waiting.get(delivery.key)
        if waiting:
            self._ready.append(waiting.popleft())
        else:
            self._waiting.pop(delivery.key, None)
            self._busy.discard(delivery.key)

    def put_back(self, delivery: Delivery) -> None:
        """Have a message taken again, before the others of its key."""
        self._size += 1
        self._ready.appendleft(delivery)

    def drop(self, unwanted: Callable[[Delivery], bool]) -> None:
        """Forget messages that wait; what is being worked on keeps its key busy."""
        ready, self._ready = self._ready, deque()
        for delivery in ready:
            if unwanted(delivery):
                self._size -= 1
            else:
                self._ready.append(delivery)
        freed = [delivery for delivery in ready if unwanted(delivery)]
        for key, waiting in list(self._waiting.items()):
            kept = deque(each for each in waiting if not unwanted(each))
            self._size -= len(waiting) - len(kept)
            self._waiting[key] = kept
        for delivery in freed:
            self.finish(delivery)
