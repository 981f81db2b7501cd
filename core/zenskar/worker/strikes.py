"""Count repeated failures of a message."""

from collections import OrderedDict

from zenskar.bus.port import Delivery

_MOST = 3
_REMEMBERED = 1000


class Strikes:
    """Counts failures by message in this process, on whichever partition it is redelivered."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._failures: OrderedDict[int, int] = OrderedDict()

    def out(self, delivery: Delivery) -> bool:
        """Count a failure; return whether the message has used up its deliveries."""
        name = hash((delivery.topic, delivery.key, delivery.value))
        failures = self._failures.pop(name, 0) + 1
        if failures >= self._most:
            return True
        self._failures[name] = failures
        if len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)
        return False
