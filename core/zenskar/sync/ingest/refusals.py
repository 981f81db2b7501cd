"""Choose the error for the sender of a request that is not verified, and log bugs of plugins."""

from zenskar.errors import CallFailed, Unavailable, ZenskarError
from zenskar.sync.event_reader import report


def refusal(hook: str, source: str, correlation_id: str, error: Exception) -> ZenskarError:
    """Return the error for the sender; after a bug of the plugin the sender may retry."""
    if isinstance(error, ZenskarError) and not isinstance(error, CallFailed):
        return error
    report(hook, source, correlation_id, error)
    refused = Unavailable(f"the integration of {source} failed")
    refused.__cause__ = error
    return refused
