"""Refuse requests that are not webhooks: choose the error for the sender, count and log it."""

from zenskar.errors import BadSignature, CallFailed, Unavailable, ZenskarError
from zenskar.sync.event_reader import report
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.metrics import Metrics, WebhookRefusal

_log = get_logger(__name__)


def refusal(hook: str, source: str, correlation_id: str, error: Exception) -> ZenskarError:
    """Return the error for the sender; after a bug of the plugin the sender may retry."""
    if isinstance(error, ZenskarError) and not isinstance(error, CallFailed):
        return error
    report(hook, source, correlation_id, error)
    refused = Unavailable(f"the integration of {source} failed")
    refused.__cause__ = error
    return refused


class RefusalLog:
    """Counts and logs the webhooks of connections that are not accepted."""

    def __init__(self, metrics: Metrics) -> None:
        self._count = metrics.webhooks

    def failed(self, source: str, correlation_id: str, error: Exception) -> None:
        """Note a webhook that its verification or its storage has not accepted."""
        if isinstance(error, Unavailable):
            self._count.labels(source, "unavailable", "").inc()
            return
        unsigned = isinstance(error, BadSignature)
        reason = WebhookRefusal.SIGNATURE if unsigned else WebhookRefusal.BODY
        self.refused(source, correlation_id, reason)

    def refused(self, source: str, correlation_id: str, reason: WebhookRefusal) -> None:
        """Note a refused webhook."""
        self._count.labels(source, "refused", reason.value).inc()
        _log.warning(
            "webhook_refused", source=source, reason=reason.value, correlation_id=correlation_id
        )
