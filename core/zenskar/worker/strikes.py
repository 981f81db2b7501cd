"""Which messages could not be handled, however often that was tried."""

from collections import OrderedDict

from zenskar.bus.port import Delivery

_MOST = 3
_REMEMBERED = 1000


class Strikes:
    """Counts failures by message, in this process, wherever the bus delivers it again."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._failures: OrderedDict[int, int] = OrderedDict()

    def out(self, delivery: Delivery) -> bool:
        """Count a failure; return whether it was the last one that is waited for."""
        name = hash((delivery.topic, delivery.key, delivery.value))
        failures = self._failures.pop(name, 0) + 1
        if failures >= self._most:
            return True
        self._failures[name] = failures
        if len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)
        return False
