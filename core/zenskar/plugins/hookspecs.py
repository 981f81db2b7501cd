"""The hooks of an integration, in the order of its life.

Each connection has one integration object. The core calls a hook on the one integration that owns
the connection and never broadcasts a call, so each call has one result.

To implement a hook, override the method of `BaseIntegration`; a decorator is not needed. An
override may leave out arguments, because the core passes arguments by name. A hook must not change
its arguments. The core awaits a coroutine hook in its event loop; the other hooks must not block.

A hook may raise every error that its client library raises. `classify_error` decides the core's
reaction to errors of the calls. An error without a classification is a bug of the plugin.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pluggy

from zenskar.errors import Failure
from zenskar.model.call_limit import Usage
from zenskar.model.integration import (
    Change,
    Changes,
    ExternalObject,
    Health,
    Page,
    Push,
    PushResult,
    WebhookAnswer,
    WebhookEvent,
    WebhookRequest,
)

PROJECT = "zenskar"
hookspec = pluggy.HookspecMarker(PROJECT)


class IntegrationSpec:
    """All hooks. An integration must implement a hook unless its text says "Optional"."""

    # --- start and stop ---------------------------------------------------------------------

    @hookspec
    async def open(self) -> None:
        """Build the clients of the external system. Optional.

        Called once per process, before every other hook and in the event loop of all later calls.
        While `open` raises, the connection is off, and the core retries with a new object.
        """

    @hookspec
    async def close(self) -> None:
        """Release the clients that `open` built. Optional.

        Called once when the process stops, and after an `open` that failed half-way.
        """

    @hookspec
    async def health(self) -> Health:  # type: ignore[empty-body]
        """Return whether the external system answers and accepts our credentials. Optional.

        Called after several failed calls in a row until the result is ok, and by `zenskar doctor`.
        Make one cheap request.
        """

    @hookspec
    async def account(self) -> str | None:
        """Return the id of the account that the credentials open, with its mode. Optional.

        Called when a worker starts, before a read of all objects, and when an object is not
        visible. The core stores the first account and pauses the connection when a later account
        differs. Return None when the account cannot be read.
        """

    # --- webhooks ---------------------------------------------------------------------------

    @hookspec
    def answer_challenge(self, request: WebhookRequest) -> WebhookAnswer | None:
        """Return the answer to a check of the webhooks' address, None for any other request.

        Optional. Called before `verify_webhook`, so nothing is verified: compare the token of the
        request where the external system sends a token. Nothing is stored. Return a text of the
        request as `text/plain` only. Declare a check by GET in `webhook_methods`.
        """

    @hookspec
    def verify_webhook(self, request: WebhookRequest) -> None:
        """Raise `BadSignature` unless the external system sent exactly these bytes just now.

        Called for every webhook, before its body is read. Optional, like `parse_webhook`, for a
        system that is only polled.
        """

    @hookspec
    def read_webhook(self, request: WebhookRequest) -> Any:
        """Return the body of a verified webhook as JSON values: objects, arrays, texts, numbers.

        Optional: the body is JSON by default. Raise `InvalidInput` for a body that cannot be read:
        the sender receives 400. After any other error the webhook becomes a dead letter.
        """

    @hookspec
    def parse_webhook(self, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:  # type: ignore[empty-body]
        """Return the events of a verified webhook.

        `body` is the JSON of the webhook, or the result of `read_webhook`, valid against the
        `webhook_event` schema of the integration. Return an event of an unknown type with
        `ignored`. This hook makes no call: name an object that must be read as `touched`, and a
        worker fetches the object. When this hook raises, the webhook becomes a dead letter, which
        can be retried with a fixed plugin.
        """

    @hookspec
    def answer_webhook(
        self, request: WebhookRequest, accepted: int, dead: int
    ) -> WebhookAnswer | None:
        """Return the answer to a webhook whose events are durable, None for the core's own JSON.

        Optional. `accepted` and `dead` are the numbers of its events, and of those that are dead
        letters. When this hook fails, the sender receives the core's answer.
        """

    # --- feed -------------------------------------------------------------------------------

    @hookspec
    async def changes(self, checkpoint: str | None) -> Changes:  # type: ignore[empty-body]
        """Return the events of the external system since a checkpoint. Optional.

        Called by the scheduler, in one process at a time. `checkpoint` is that of the last result,
        None at first; it is stored once the events are durable, so events may be returned again. An
        event with a known id has no further effect. The core calls again at once for `more`, and
        compares both sides after `lost`.
        """

    # --- translation ------------------------------------------------------------------------

    @hookspec
    def to_canonical(self, seen: ExternalObject) -> Mapping[str, Any]:  # type: ignore[empty-body]
        """Return the canonical document of an external object.

        `seen.data` is present, and valid against the schema of its entity. A missing field keeps
        its value in the catalog; null empties the field. The result must be deterministic.
        """

    @hookspec
    def from_canonical(self, change: Change) -> Mapping[str, Any]:  # type: ignore[empty-body]
        """Return the body of the push for a change, as JSON.

        The core stores the body before the push, and sends the same body again after a crash. The
        result must be deterministic.
        """

    # --- calls ------------------------------------------------------------------------------

    @hookspec
    async def push(self, push: Push) -> PushResult:  # type: ignore[empty-body]
        """Make one call that creates, updates or deletes an object, and return its state.

        Send `push.idempotency_key` if the external system supports such keys. Do not retry: the
        core does.
        """

    @hookspec
    async def push_many(  # type: ignore[empty-body]
        self, pushes: Sequence[Push]
    ) -> Sequence[PushResult | Exception]:
        """Make several pushes in one call, and return their results in the same order. Optional.

        Called for pushes of one entity type that wait together, at most `push_many_limit` at once;
        a single push still goes to `push`. Return the error of a refused push in its place, so that
        the others keep their results. An error that is raised is one of all pushes.
        """

    @hookspec
    async def fetch(self, entity_type: str, external_id: str) -> ExternalObject:  # type: ignore[empty-body]
        """Return one object, with `data` None when its deletion is proven.

        Raise an error for an object that is not found; `classify_error` returns `NOT_VISIBLE`.
        """

    @hookspec
    async def fetch_many(  # type: ignore[empty-body]
        self, entity_type: str, external_ids: Sequence[str]
    ) -> Sequence[ExternalObject]:
        """Return several objects, each as from `fetch`, in any order. Optional.

        Called for objects that events name as `touched`, at most `fetch_many_limit` at once. The
        core calls `fetch` for each object that the result lacks, so leave out what is not found.
        """

    @hookspec
    async def find(self, entity_type: str, record_id: str) -> ExternalObject | None:
        """Return the object that carries this record's id, None when no object carries the id.

        Called after a create without an answer, so the result must include our latest writes.
        """

    @hookspec
    async def list_page(self, entity_type: str, cursor: str | None) -> Page:  # type: ignore[empty-body]
        """Return one page of all objects; `cursor` is None for the first page.

        Called by `zenskar reconcile` and `zenskar backfill`. The order must not skip objects while
        others change.
        """

    # --- limits and failures ----------------------------------------------------------------

    @hookspec
    def usage(self) -> Sequence[Usage]:  # type: ignore[empty-body]
        """Return the calls that the external system counted, as its last answers showed. Optional.

        Called often, between calls, so make no call: keep the values of the last answers. The core
        compares each new count with its own, and takes the higher one.
        """

    @hookspec
    def classify_error(self, error: Exception) -> Failure | None:
        """Return the class of an error that a coroutine hook raised, None when unknown. Optional.

        The class decides the next action of the core: retry, look the object up, pause the
        connection, or dead-letter the event.
        """
