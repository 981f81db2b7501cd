"""Check and parse the bodies of webhooks, and of webhooks that a feed lists."""

import json
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from zenskar.db.driver.storable import storable
from zenskar.errors import (
    CallFailed,
    Failure,
    FailureKind,
    SchemaViolation,
    Unavailable,
    Violation,
)
from zenskar.model.integration import WebhookEvent, WebhookRequest
from zenskar.model.json_bounds import Bounds
from zenskar.plugins.configuration import ConfiguredConnection
from zenskar.plugins.declaration_problems import USE_TOUCHED
from zenskar.plugins.router import PluginRouter
from zenskar.sync.event_reader import report

BODY_BOUNDS = Bounds(members=100_000, depth=64)
"""The limits of a webhook's body: hundreds of times the size of the largest known events."""


class UnreadBody(NamedTuple):
    """A body of a request that cannot be read, and the problem."""

    request: WebhookRequest
    body: Any
    error: Exception


class BodyReader:
    """Checks bodies by the schema of their integration, and parses them."""

    def __init__(
        self, router: PluginRouter, connections: Mapping[str, ConfiguredConnection]
    ) -> None:
        self._call = router.call
        self._connections = connections

    def check(self, source: str, body: Any) -> None:
        """Raise `SchemaViolation` for a body that the integration's schema refuses."""
        schemas = self._connections[source].plugin.schemas
        if "webhook_event" in schemas:
            schemas["webhook_event"].check(body, nul_free=True)

    def parse(self, source: str, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:
        """Return the events of a valid body. Raises the errors of the integration."""
        parsed: Any = self._call(source, "parse_webhook", request=request, body=body)
        known = isinstance(parsed, Sequence) and all(isinstance(e, WebhookEvent) for e in parsed)
        if not known:
            raise _wrong_result(parsed)
        events: Sequence[WebhookEvent] = parsed
        return events

    def read_each(
        self, source: str, bodies: Iterable[tuple[WebhookRequest, Any]], correlation_id: str
    ) -> tuple[list[WebhookEvent], list[UnreadBody]]:
        """Return the events of the bodies that can be read, and the other bodies.

        Raises `Unavailable`.
        """
        events: list[WebhookEvent] = []
        unread: list[UnreadBody] = []
        for request, body in bodies:
            try:
                self.check(source, body)
                events += self.parse(source, request, body)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - one body must not stop the others
                report("parse_webhook", source, correlation_id, error)
                unread.append(UnreadBody(request, body, error))
        return events, unread


def storable_json(body: Any) -> tuple[Any, bool]:
    """Return a body that an integration has read in storable form, and whether both are equal.

    Raises `SchemaViolation` for a body beyond the bounds, `CallFailed` for a body that is no JSON.
    """
    try:
        made = json.loads(json.dumps(body, allow_nan=False))
    except RecursionError as error:
        raise beyond_python(error) from None
    except (TypeError, ValueError):
        failure = Failure(FailureKind.BUG, "read_webhook has to return JSON values")
        raise CallFailed(failure) from None
    if problem := BODY_BOUNDS.problem(made):
        raise out_of_bounds(problem)
    kept = storable(made)
    return kept, kept == made


def out_of_bounds(problem: str) -> SchemaViolation:
    """Return the error of a body beyond the bounds, whose text the dead letter shows."""
    return SchemaViolation("the body", [Violation("", problem)])


def beyond_python(error: RecursionError | OverflowError) -> SchemaViolation:
    """Return the error of a body that is JSON, and that Python cannot read."""
    if isinstance(error, OverflowError):
        return out_of_bounds("has a number that is too large")
    return out_of_bounds(f"is nested more than {BODY_BOUNDS.depth} levels deep")


def _wrong_result(parsed: Any) -> Exception:
    if isinstance(parsed, Coroutine):
        parsed.close()
        text = f"parse_webhook is a coroutine: {USE_TOUCHED}"
        return CallFailed(Failure(FailureKind.BUG, text))
    return TypeError("parse_webhook has to return a sequence of WebhookEvent")
