"""The middlewares that every request passes, in their order."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from aiohttp.typedefs import Middleware

from zenskar.api.http.auth import KeyRing
from zenskar.api.http.bodies import invite_body
from zenskar.api.http.clients import Clients, LocalHosts
from zenskar.api.http.correlation import bind_correlation_id
from zenskar.api.http.pending import PendingBodies
from zenskar.api.http.problems import answer_problems
from zenskar.api.http.queries import QueryReaders
from zenskar.api.http.request_limits import Deadlines, refuse_foreign
from zenskar.api.http.request_metrics import RequestMeter
from zenskar.api.http.routes import Route
from zenskar.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Guards:
    """The optional middlewares.

    Without `hosts` a request may be for any host. Without `keys` no request needs an API key.
    Without `pending` the bytes of bodies are not counted. Without `record_span` there are no spans.
    """

    clients: Clients = field(default_factory=lambda: Clients(None))
    hosts: LocalHosts | None = None
    keys: KeyRing | None = None
    pending: PendingBodies | None = None
    record_span: Middleware | None = None


def middlewares(
    routes: Iterable[Route], metrics: Metrics, timeout_seconds: float, guards: Guards
) -> list[Middleware]:
    """Return the middlewares, outermost first."""
    chosen: tuple[Middleware | None, ...] = (
        # First, so that every log line of the others has the correlation id.
        bind_correlation_id,
        # Its span has the status of every answer of the others, problems too.
        guards.record_span,
        # Counts every answer of the others, problems too.
        RequestMeter(metrics).measure,
        answer_problems,
        # Bounds the time of all that follows.
        Deadlines(timeout_seconds).cut_off,
        guards.clients.find_address,
        guards.pending.count_body if guards.pending else None,
        # May this request be answered? The cheapest check first, the body not before the last.
        guards.hosts.check_host if guards.hosts else None,
        refuse_foreign,
        guards.keys.authenticate if guards.keys else None,
        QueryReaders(routes).read_query,
        invite_body,
    )
    return [middleware for middleware in chosen if middleware is not None]
