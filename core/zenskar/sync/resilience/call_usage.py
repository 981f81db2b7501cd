"""The counts of calls that external systems report with their answers."""

from collections.abc import Sequence
from typing import Any

from zenskar.model.call_limit import CallLimit, Usage
from zenskar.plugins.router import PluginRouter
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.stack_traces import trace

_MOST_CALLS, _MOST_RESET_SECONDS = 2**31, 400 * 86_400.0
_log = get_logger(__name__)


class UsageReports:
    """Reads the counts of external systems, and returns each only once."""

    def __init__(self, router: PluginRouter) -> None:
        self._router = router
        self._known: dict[tuple[str, str], Usage] = {}

    def new(self, source: str, limits: Sequence[CallLimit]) -> dict[CallLimit, Usage]:
        """Return the counts of a system that were not returned before, by limit."""
        found: dict[CallLimit, Usage] = {}
        for usage in self._usage(source):
            named = [limit for limit in limits if limit.name == usage.limit]
            if named and self._known.get((source, usage.limit)) != usage:
                self._known[source, usage.limit] = usage
                found[max(named, key=lambda limit: limit.seconds)] = usage
        return found

    def skip(self, source: str) -> None:
        """Leave out the present counts of a system from now on."""
        for usage in self._usage(source):
            self._known[source, usage.limit] = usage

    def _usage(self, source: str) -> Sequence[Usage]:
        if not self._router.implements(source, "usage"):
            return ()
        try:
            return [checked_usage(each) for each in self._router.call(source, "usage")]
        except Exception as error:  # noqa: BLE001 - a call must not fail because of its count
            _log.error("usage_failed", source=source, trace=trace(error))
            return ()


def checked_usage(usage: Any) -> Usage:
    """Return a usage; raise `ValueError` unless its numbers can be counted with."""
    if not isinstance(usage, Usage):
        raise ValueError(f"`usage` returned {type(usage).__name__} instead of Usage")  # noqa: TRY004
    numbers: list[Any] = [usage.used, 1 if usage.calls is None else usage.calls]
    if not all(isinstance(each, int) and 0 <= each < _MOST_CALLS for each in numbers):
        raise ValueError("a Usage has a number of calls that is negative or too large")
    resets_in = 0.0 if usage.resets_in is None else usage.resets_in
    if not 0 <= resets_in <= _MOST_RESET_SECONDS:
        raise ValueError("a Usage resets in the past or too late")
    return usage
