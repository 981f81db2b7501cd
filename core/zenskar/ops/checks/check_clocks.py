"""Check the clocks of external systems."""

from zenskar.model.interval import MICROSECONDS, Interval
from zenskar.ops.checks.finding import Finding, failed, note, ok

_AGREE_SECONDS, _FAR_SECONDS = 2.0, 60.0
"""A difference of a few minutes makes the signatures of webhooks invalid."""
_FIX = "set the clock of the machines that run zenskar, preferably by NTP"


def check_offset(part: str, offset: Interval) -> Finding:
    """Return how far an external clock is ahead of ours; only signatures depend on the offset."""
    certain = max(0, offset.low, -offset.high) / MICROSECONDS
    if certain <= _AGREE_SECONDS:
        return ok(part, "is that of this side")
    seconds = (offset.low + offset.high) / 2 / MICROSECONDS
    detail = f"is {abs(seconds):.1f} seconds {'ahead of' if seconds > 0 else 'behind'} ours"
    return failed(part, detail, _FIX) if certain > _FAR_SECONDS else note(part, detail, _FIX)
