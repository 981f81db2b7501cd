"""What `zenskar doctor` says of the clocks of external systems."""

from zenskar.cli.doctor.result import Finding, failed, note, ok
from zenskar.model.interval import MICROSECONDS, Interval

_AGREE_SECONDS, _FAR_SECONDS = 2.0, 60.0
"""Signatures of webhooks are refused from a few minutes on."""
_FIX = "set the clock of the machines that zenskar runs on, best by NTP"


def check_offset(part: str, offset: Interval) -> Finding:
    """Say how far an external clock is ahead of ours; no sync depends on it but signatures."""
    certain = max(0, offset.low, -offset.high) / MICROSECONDS
    if certain <= _AGREE_SECONDS:
        return ok(part, "is that of this side")
    seconds = (offset.low + offset.high) / 2 / MICROSECONDS
    told = f"is {abs(seconds):.1f} seconds {'ahead of' if seconds > 0 else 'behind'} ours"
    return failed(part, told, _FIX) if certain > _FAR_SECONDS else note(part, told, _FIX)
