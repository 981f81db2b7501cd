"""An external system in memory, with an integration for it, for tests of the core."""

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from zenskar import (
    BadSignature,
    BaseIntegration,
    CallLimit,
    Change,
    Changes,
    Connection,
    ExternalObject,
    Failure,
    FailureKind,
    Health,
    IntentKind,
    Interval,
    ObjectRef,
    Page,
    Push,
    PushResult,
    Usage,
    WebhookEvent,
    WebhookRequest,
)
from zenskar.model.fields import CUSTOMER

TRAVELLING = (*CUSTOMER.plain, *CUSTOMER.keyed)


class FakeError(Exception):
    """A failed call of this kind."""

    def __init__(
        self,
        kind: FailureKind,
        *,
        replayed: bool = False,
        retry_after: float | None = None,
        external_id: str | None = None,
        limit: str | None = None,
    ) -> None:
        self.kind = kind
        self.external_id = external_id
        self.limit = limit
        self.retry_after = retry_after
        self.replayed = replayed
        super().__init__(kind.value)


@dataclass
class FakeSystem:
    """Objects by id; `None` is a deleted object, and an object without an entry is not visible.

    `account` is the answer of the hook; `before` and `after` run around every push.

    The checkpoint of the `feed` is the number of its events that were read; each part also has the
    `bodies`. After `lost`, a poll reports a loss once.

    `reading` runs before every other call, with the hook and its id or cursor. The system keeps
    and shows only the fields in `holds`; `carries` is the declaration of its plugin. The webhooks
    of a `thin` system name their objects only, and a `batching` system shows many in one call.
    A `gathering` system takes many pushes in one call, and returns their `results`.
    The answers of a `blind` system to pushes do not show the object. A system with `usage` shows
    the calls that it counts. A system that `restores` may restore a deleted object.
    """

    objects: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[Push] = field(default_factory=list)
    fetches: list[str] = field(default_factory=list)
    batches: list[tuple[str, ...]] = field(default_factory=list)
    gathered: list[tuple[Push, ...]] = field(default_factory=list)
    webhooks: list[WebhookRequest] = field(default_factory=list)
    pages: list[str | None] = field(default_factory=list)
    feed: list[WebhookEvent] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    polls: list[str | None] = field(default_factory=list)
    lost: bool = False
    page_size: int = 100
    thin: bool = False
    batching: bool = False
    gathering: bool = False
    results: Callable[[list[Any]], list[Any]] = lambda found: found
    restores: bool = False
    blind: bool = False
    latest: float = 0.0
    account: str | None = None
    health: Health = field(default_factory=lambda: Health(ok=True))
    before: Callable[[Push], None] = lambda _push: None
    after: Callable[[Push], None] = lambda _push: None
    holds: tuple[str, ...] = TRAVELLING
    carries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    call_limits: tuple[CallLimit, ...] = ()
    usage: tuple[Usage, ...] | None = None
    reading: Callable[[str, str | None], Awaitable[None] | None] = lambda _hook, _about: None
    on_the_way: Callable[[Push], Awaitable[None]] | None = None
    on_the_way_back: Callable[[Push], Awaitable[None]] | None = None
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def create(self, key: str | None = None, **values: Any) -> str:
        external_id = f"obj_{next(self._numbers)}"
        self.objects[external_id] = values
        self.announce("created", external_id, key)
        return external_id

    def edit(self, external_id: str, key: str | None = None, **values: Any) -> None:
        known = self.objects[external_id]
        assert known is not None
        self.objects[external_id] = {**known, **values}
        self.announce("updated", external_id, key)

    def delete(self, external_id: str, key: str | None = None) -> None:
        self.announce("deleted", external_id, key)
        self.objects[external_id] = None

    def purge(self, external_id: str) -> None:
        """Delete an object, also a deleted one, and demand to forget it."""
        self.objects[external_id] = {"purged": True}
        self.delete(external_id)

    def restore(self, external_id: str, **values: Any) -> None:
        """Restore a deleted object with these values."""
        self.objects[external_id] = values
        self.announce("created", external_id)

    def announce(self, action: str, external_id: str, key: str | None = None) -> None:
        event = {
            "id": f"evt_{next(self._numbers)}",
            "type": f"customer.{action}",
            "at": int(time.time()),
            "key": key,
            "object": {"id": external_id, **(self.objects[external_id] or {})},
        }
        headers = {"x-signature": "good"}
        self.webhooks.append(WebhookRequest(headers, json.dumps(event).encode(), time.time()))

    def report(self, external_id: str, name: str | None = None) -> None:
        """Add the present state of an object to the feed, as an event of this name."""
        seen = self.shown(external_id, self.objects[external_id])
        self.feed.append(WebhookEvent(name, "customer.changed", seen=seen))

    def shift(self, seconds: int) -> None:
        """Shift the time of the last webhook, and receive it no earlier than any other."""
        request = self.webhooks[-1]
        event = json.loads(request.body)
        body = json.dumps(event | {"at": event["at"] + seconds}).encode()
        self.latest = max(self.latest, event["at"] + seconds)
        received_at = max(request.received_at, self.latest)
        self.webhooks[-1] = replace(request, body=body, received_at=received_at)

    async def read(self, hook: str, about: str | None) -> None:
        waiting = self.reading(hook, about)
        if waiting is not None:
            await waiting

    def shown(self, external_id: str, data: Mapping[str, Any] | None) -> ExternalObject:
        """Return an object as every answer and every webhook shows it."""
        record_id = data.get("record_id") if data is not None else None
        return ExternalObject("customer", external_id, data, record_id)

    def check(self, push: Push, known: Mapping[str, Any]) -> None:
        """Raise an error to refuse a push to this living object."""

    def target(self, external_id: str) -> str:
        """Return the object that a push to an id changes."""
        return external_id

    def pushes(self, kind: IntentKind) -> list[Push]:
        return [push for push in self.calls if push.kind is kind]


class FakeIntegration(BaseIntegration):
    """The integration of a `FakeSystem`, which is set as `system` on a subclass."""

    system: FakeSystem
    webhook_headers = ("x-signature",)
    idempotency_key_lifetime = timedelta(hours=24)

    @property
    def carries(self) -> Mapping[str, tuple[str, ...]]:  # type: ignore[override]
        return self.system.carries

    def verify_webhook(self, request: WebhookRequest) -> None:
        if request.headers.get("x-signature") != "good":
            raise BadSignature("the signature is wrong")

    def parse_webhook(self, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:
        occurred = Interval.of_second(body["at"])
        action = body["type"].removeprefix("customer.")
        if action not in {"created", "updated", "deleted"}:
            return [WebhookEvent(body["id"], body["type"], occurred, ignored="unknown_type")]
        if self.system.thin:
            touched = ObjectRef("customer", body["object"]["id"])
            return [WebhookEvent(body["id"], body["type"], touched=touched)]
        seen = self.system.shown(body["object"]["id"], body["object"])
        if action == "deleted":
            ends = {name: body["object"].get(name) for name in ("merged_into", "purged")}
            seen = ExternalObject(
                "customer",
                seen.external_id,
                None,
                seen.record_id,
                merged_into=ends["merged_into"],
                purged=bool(ends["purged"]),
            )
        return [WebhookEvent(body["id"], body["type"], occurred, seen, origin_key=body["key"])]

    def to_canonical(self, seen: ExternalObject) -> Mapping[str, Any]:
        data = seen.data or {}
        return {name: data.get(name) for name in self.system.holds}

    def from_canonical(self, change: Change) -> Mapping[str, Any]:
        return dict(change.patch)

    async def health(self) -> Health:
        return self.system.health

    async def account(self) -> str | None:
        await self.system.read("account", None)
        return self.system.account

    async def push(self, push: Push) -> PushResult:
        self.system.calls.append(push)
        if self.system.on_the_way is not None:
            await self.system.on_the_way(push)
        self.system.before(push)
        if push.idempotency_key in self.system.answers:
            old = self.system.answers[push.idempotency_key]
            return PushResult(self.system.shown(old["id"], old), replayed=True)
        external_id = self._effect(push)
        data = self.system.objects[external_id]
        if data is not None:
            self.system.answers[push.idempotency_key] = {"id": external_id, **data}
        self.system.after(push)
        if self.system.on_the_way_back is not None:
            await self.system.on_the_way_back(push)
        if self.system.blind:
            return PushResult.unseen(push, external_id)
        return PushResult(self.system.shown(external_id, data))

    def _effect(self, push: Push) -> str:
        key = push.idempotency_key
        if push.kind is IntentKind.CREATE:
            return self.system.create(key, **self._held(push.body), record_id=push.record_id)
        assert push.external_id is not None
        external_id = self.system.target(push.external_id)
        known = self.system.objects.get(external_id)
        if known is None:
            visible = external_id in self.system.objects
            raise FakeError(FailureKind.GONE if visible else FailureKind.NOT_VISIBLE)
        self.system.check(push, known)
        if push.kind is IntentKind.DELETE:
            self.system.delete(external_id, key)
            return external_id
        values = dict(push.body)
        metadata = {**(known.get("metadata") or {}), **(values.pop("metadata", None) or {})}
        values["metadata"] = {k: v for k, v in metadata.items() if v is not None}
        self.system.edit(external_id, key, **self._held(values))
        return external_id

    def _held(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name in self.system.holds}

    async def fetch(self, entity_type: str, external_id: str) -> ExternalObject:
        self.system.fetches.append(external_id)
        await self.system.read("fetch", external_id)
        if external_id not in self.system.objects:
            raise FakeError(FailureKind.NOT_VISIBLE)
        return self.system.shown(external_id, self.system.objects[external_id])

    async def find(self, entity_type: str, record_id: str) -> ExternalObject | None:
        found = None
        for external_id, data in self.system.objects.items():
            if data is not None and data.get("record_id") == record_id:
                found = self.system.shown(external_id, data)
        # The answer is on its way during this.
        await self.system.read("find", record_id)
        return found

    async def list_page(self, entity_type: str, cursor: str | None) -> Page:
        """Count from the first object, so that pages shift when one before them goes."""
        self.system.pages.append(cursor)
        await self.system.read("list_page", cursor)
        living = [
            self.system.shown(i, data)
            for i, data in self.system.objects.items()
            if data is not None
        ]
        return self._page(living, int(cursor or 0))

    async def changes(self, checkpoint: str | None) -> Changes:
        self.system.polls.append(checkpoint)
        await self.system.read("changes", checkpoint)
        first = int(checkpoint or 0)
        end = first + self.system.page_size
        lost, self.system.lost = self.system.lost, False
        events = tuple(self.system.feed[first:end])
        after, more = str(first + len(events)), end < len(self.system.feed)
        bodies = tuple(self.system.bodies)
        return Changes(events, after, more=more, lost=lost, bodies=bodies)

    def _page(self, objects: list[ExternalObject], first: int) -> Page:
        end = first + self.system.page_size
        return Page(tuple(objects[first:end]), str(end) if end < len(objects) else None)

    def classify_error(self, error: Exception) -> Failure | None:
        if isinstance(error, FakeError):
            return Failure(
                error.kind,
                f"fake {error.kind.value}",
                retry_after=error.retry_after,
                replayed=error.replayed,
                external_id=error.external_id,
                limit=error.limit,
            )
        return super().classify_error(error)


class BatchingIntegration(FakeIntegration):
    """A fake integration that fetches many objects at once, of which a batch shows the living."""

    async def fetch_many(
        self, entity_type: str, external_ids: Sequence[str]
    ) -> Sequence[ExternalObject]:
        self.system.batches.append(tuple(external_ids))
        await self.system.read("fetch_many", " ".join(external_ids))
        found = ((each, self.system.objects.get(each)) for each in external_ids)
        return [self.system.shown(each, data) for each, data in found if data is not None]


class GatheringIntegration(FakeIntegration):
    """A fake integration that makes many pushes at once."""

    async def push_many(self, pushes: Sequence[Push]) -> Sequence[PushResult | Exception]:
        self.system.gathered.append(tuple(pushes))
        await self.system.read("push_many", None)
        found = await asyncio.gather(*map(self.push, pushes), return_exceptions=True)
        await self.system.read("push_many_answered", None)
        return self.system.results(list(found))


def fake_class(system: FakeSystem) -> type[FakeIntegration]:
    """Return an integration class bound to one system."""
    kind = BatchingIntegration if system.batching else FakeIntegration
    kind = GatheringIntegration if system.gathering else kind
    parts: dict[str, Any] = {"system": system, "call_limits": system.call_limits}
    parts["deletes_are_final"] = not system.restores
    if system.usage is not None:
        parts["usage"] = lambda _self: system.usage
    return type("BoundFake", (kind,), parts)


def fake_connection(name: str, system: FakeSystem) -> FakeIntegration:
    return fake_class(system)(Connection(name))
