"""The base class of every integration: its hooks, in the order of its life.

Each connection has one integration object. The core calls a hook on the one integration that owns
the connection and never broadcasts a call, so each call has one result.

To implement a hook, override the method; a decorator is not needed. An override may leave out
arguments, because the core passes arguments by name. A hook must not change its arguments. The core
awaits a coroutine hook in its event loop; the other hooks must not block.

A hook may raise every error that its client library raises. `classify_error` decides the core's
reaction to errors of the calls. An error without a classification is a bug of the plugin.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from zenskar.errors import Failure, FailureKind, InvalidInput
from zenskar.model import json_text
from zenskar.model.call_limit import Usage
from zenskar.model.integration import (
    Change,
    Changes,
    Connection,
    ExternalObject,
    Health,
    Page,
    Push,
    PushResult,
    SandboxInfo,
    WebhookAnswer,
    WebhookEvent,
    WebhookRequest,
)
from zenskar.plugins.declarations import Declarations
from zenskar.plugins.markers import hookspec, specified


class BaseIntegration(Declarations):
    """An integration with one kind of external system; each connection has one object.

    A subclass must implement `to_canonical`, `from_canonical`, `push`, `fetch`, `find` and
    `list_page`, and for events `verify_webhook` with `parse_webhook`, or `changes`, or all of them.
    The folder `schemas` beside the module holds JSON Schemas: `webhook_event.schema.json` and
    `<entity>.schema.json`.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    # --- start and stop ---------------------------------------------------------------------

    @hookspec
    async def open(self) -> None:
        """Build the clients of the external system. Optional.

        Called once per process, before every other hook and in the event loop of all later calls.
        While `open` raises, the connection is off, and the core retries with a new object.
        """

    @hookspec
    async def close(self) -> None:
        """Release the clients of the external system. Optional.

        Called once when the process stops, and after an `open` that failed half-way.
        """

    @hookspec
    async def health(self) -> Health:
        """Return whether the external system answers and accepts our credentials. Optional.

        Called after several failed calls in a row until the result is ok, and by `zenskar doctor`.
        Make one cheap request. An error means that the system is not healthy. The default is ok,
        without a request.
        """
        return Health(ok=True, detail="not checked")

    @hookspec
    async def account(self) -> str | None:
        """Return the id of the account that the credentials open, with its mode. Optional.

        Called when a worker starts, before a read of all objects, and when an object is not
        visible. The core stores the first account and pauses the connection when a later account
        differs. Return None when the account cannot be read; then nothing is compared.
        """
        return None

    # --- webhooks ---------------------------------------------------------------------------

    @hookspec
    def answer_challenge(self, request: WebhookRequest) -> WebhookAnswer | None:  # noqa: ARG002
        """Return the answer to a check of the webhooks' address, None for a webhook. Optional.

        Called for every request of a webhook, before `verify_webhook`. So nothing is verified:
        compare the token of the request where the external system sends a token. Nothing is stored.
        Return a text of the request as `text/plain` only. Declare a check by GET in
        `webhook_methods`.
        """
        return None

    @hookspec
    def verify_webhook(self, request: WebhookRequest) -> None:
        """Raise `BadSignature` unless the external system sent exactly these bytes just now.

        Called for every webhook, before its body is read. Needed for a system with webhooks, like
        `parse_webhook`. Any result but None is refused.
        """
        raise NotImplementedError

    @hookspec
    def read_webhook(self, request: WebhookRequest) -> Any:
        """Return the body of a webhook as JSON values: objects, arrays, texts, numbers. Optional.

        Called for a verified webhook. The body is JSON by default, and the core itself reads it
        faster than this default. Raise `InvalidInput` for a body that cannot be read: the sender
        receives 400. After any other error the webhook becomes a dead letter.
        """
        try:
            return json_text.read(request.body.decode("utf-8-sig"))
        except ValueError:
            raise InvalidInput("the body is not JSON in UTF-8") from None

    @hookspec
    def parse_webhook(self, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:
        """Return the events of a verified webhook.

        Called for a verified webhook whose body is valid. Needed for a system with webhooks. `body`
        is the JSON of the webhook, or the result of `read_webhook`, valid against the
        `webhook_event` schema of the integration; with `webhook_items`, an item of an array. Return
        an event of an unknown type with `ignored`. This hook makes no call: name an object that
        must be read as `touched`, and a worker fetches the object. When this hook raises, the
        webhook or the item becomes a dead letter, which can be retried with a fixed plugin.
        """
        raise NotImplementedError

    @hookspec
    def answer_webhook(
        self,
        request: WebhookRequest,  # noqa: ARG002
        accepted: int,  # noqa: ARG002
        dead: int,  # noqa: ARG002
    ) -> WebhookAnswer | None:
        """Return the answer to the sender of a webhook, None for the core's own JSON. Optional.

        Called for a webhook whose events are durable. `accepted` and `dead` are the numbers of its
        events, and of those that are dead letters. When this hook fails, the sender receives the
        core's answer.
        """
        return None

    # --- feed -------------------------------------------------------------------------------

    @hookspec
    async def changes(self, checkpoint: str | None) -> Changes:
        """Return the events of the external system since a checkpoint. Optional.

        Called every `<CONNECTION>_POLL_SECONDS` by the scheduler, in one process at a time.
        `checkpoint` is that of the last result, None at first; it is stored once the events are
        durable, so events may be returned again. An event with a known id has no further effect.
        The core calls again at once for `more`, and compares both sides after `lost`. Without an
        override, the system is not polled.
        """
        raise NotImplementedError

    # --- translation ------------------------------------------------------------------------

    @hookspec
    def to_canonical(self, seen: ExternalObject) -> Mapping[str, Any]:
        """Return the canonical document of an external object.

        Called for every object that was seen, in the API and in workers. `seen.data` is present,
        and valid against the schema of its entity. A missing field keeps its value in the catalog;
        null empties the field. The result must be deterministic.
        """
        raise NotImplementedError

    @hookspec
    def from_canonical(self, change: Change) -> Mapping[str, Any]:
        """Return the body of the push for a change, as JSON.

        Called once for every create and update, in outbound workers. The core stores the body
        before the push, and sends the same body again after a crash. The result must be
        deterministic.
        """
        raise NotImplementedError

    # --- calls ------------------------------------------------------------------------------

    @hookspec
    async def push(self, push: Push) -> PushResult:
        """Make one call that creates, updates or deletes an object, and return its state.

        Called for every stored push, in outbound workers. Send `push.idempotency_key` if the
        external system supports such keys. Do not retry: the core does.
        """
        raise NotImplementedError

    @hookspec
    async def push_many(self, pushes: Sequence[Push]) -> Sequence[PushResult | Exception]:
        """Make several pushes in one call, and return their results in the same order. Optional.

        Called for pushes of one entity type that wait together, at most `push_many_limit` at once.
        A single push still goes to `push`. Return the error of a refused push in its place, so that
        the others keep their results. An error that is raised is one of all pushes. Without an
        override, the core calls `push` for each.
        """
        return [await self.push(push) for push in pushes]

    @hookspec
    async def fetch(self, entity_type: str, external_id: str) -> ExternalObject:
        """Return one object, with `data` None when its deletion is proven.

        Called when the present state of an object is unclear, in outbound workers. Raise an error
        for an object that is not found; `classify_error` returns `NOT_VISIBLE`. An object that was
        merged or purged has `merged_into` or `purged`, and the id that was asked for.
        """
        raise NotImplementedError

    @hookspec
    async def fetch_many(
        self, entity_type: str, external_ids: Sequence[str]
    ) -> Sequence[ExternalObject]:
        """Return several objects, each as from `fetch`, in any order. Optional.

        Called for objects that events name as `touched`, at most `fetch_many_limit` at once. The
        core calls `fetch` for each object that the result lacks, so leave out what is not found.
        Without an override, the core calls `fetch` for each object.
        """
        return [await self.fetch(entity_type, each) for each in external_ids]

    @hookspec
    async def find(self, entity_type: str, record_id: str) -> ExternalObject | None:
        """Return the object that carries this record's id, None when no object carries the id.

        Called after a create without an answer, so the result must include our latest writes.
        """
        raise NotImplementedError

    @hookspec
    async def list_page(self, entity_type: str, cursor: str | None) -> Page:
        """Return one page of all objects; `cursor` is None for the first page.

        Called by `zenskar reconcile` and `zenskar backfill`. A page may hold any number of objects.
        The order must not skip objects while others change. A cursor that does not advance is a
        bug.
        """
        raise NotImplementedError

    # --- limits and failures ----------------------------------------------------------------

    @hookspec
    def usage(self) -> Sequence[Usage]:
        """Return the calls that the external system counted, as its last answers showed. Optional.

        Called often, between calls of a connection with `call_limits`. Make no call: keep the
        values of the last answers. The core compares each new count with its own, and takes the
        higher one.
        """
        return ()

    @hookspec
    def classify_error(self, error: Exception) -> Failure | None:
        """Return the class of an error that a coroutine hook raised, None when unknown. Optional.

        Called for every error of a call. The class decides the next action of the core: retry, look
        the object up, pause the connection, or dead-letter the event. The default knows timeouts
        and broken connections, which are `UNKNOWN_OUTCOME`.
        """
        if isinstance(error, (TimeoutError, ConnectionError)):
            return Failure(FailureKind.UNKNOWN_OUTCOME, f"{type(error).__name__} during the call")
        return None

    # --- development ------------------------------------------------------------------------

    @classmethod
    def sandbox(
        cls,
        data_dir: Path,  # noqa: ARG003
        webhook_url: str,  # noqa: ARG003
    ) -> AbstractAsyncContextManager[SandboxInfo] | None:
        """Return a local sandbox of the external system for `zenskar dev`, None without one.

        The sandbox keeps its data in `data_dir` and sends its webhooks to `webhook_url`.
        """
        return None


HOOKS = tuple(name for name, value in vars(BaseIntegration).items() if specified(value))
"""The names of the hooks, in the order of an integration's life."""
