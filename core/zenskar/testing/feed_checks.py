"""Check the feed of a system that is polled, and the fetch of several objects."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from zenskar.model.integration import Changes, ExternalObject, WebhookEvent
from zenskar.plugins.base import BaseIntegration
from zenskar.testing.author_part import AuthorPart
from zenskar.testing.check_method import check, require
from zenskar.testing.event_checks import check_event
from zenskar.testing.life_checks import create_person, person
from zenskar.testing.subject import Subject

_MOST_PARTS = 1000
_PAUSE_SECONDS = 0.05
_NOWHERE = "http://127.0.0.1:9/webhooks"


@dataclass(frozen=True, slots=True)
class Feed:
    """The feed of an integration, read to its end, and the ids of the events that were read."""

    subject: Subject
    patience_seconds: float
    known: set[str] = field(default_factory=set)

    async def read(self, checkpoint: str | None) -> tuple[list[WebhookEvent], str]:
        """Return the events after a checkpoint, and the last checkpoint."""
        events: list[WebhookEvent] = []
        for _ in range(_MOST_PARTS):
            part = await self.subject.changes(checkpoint)
            require(isinstance(part.checkpoint, str), "a checkpoint is no text")
            stuck = part.more and part.checkpoint == checkpoint
            require(not stuck, "`more` is true, and the checkpoint does not advance")
            events += part.events
            checkpoint = part.checkpoint
            if not part.more:
                return events, checkpoint
        raise AssertionError(f"the feed does not end within {_MOST_PARTS} calls")

    async def start(self) -> str:
        """Read the whole feed, and return its last checkpoint."""
        events, checkpoint = await self.read(None)
        self.known.update(map(_identity, events))
        return checkpoint

    async def await_event(self, checkpoint: str, external_id: str, what: str) -> WebhookEvent:
        """Wait for an event of an object with an id that was not read before."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self.patience_seconds
        while loop.time() < ends_at:
            events, _ = await self.read(checkpoint)
            fresh = [event for event in events if _identity(event) not in self.known]
            self.known.update(map(_identity, events))
            if found := [event for event in fresh if named(event) == external_id]:
                return found[-1]
            await asyncio.sleep(_PAUSE_SECONDS)
        raise AssertionError(f"{what}, and no event with an id of its own reports that")


class FeedChecks(AuthorPart):
    """The checks of `changes` and of `fetch_many`."""

    @check("feeds")
    async def test_a_feed_reports_changes(self) -> None:
        """A create, an update and a delete are reported by valid events with ids of their own."""
        async with self._feed() as feed:
            for entity_type in feed.subject.entity_types:
                checkpoint = await feed.start()
                seen = await create_person(feed.subject, entity_type)
                for what, change in (
                    ("an object was created", None),
                    ("an object was changed", _rename),
                    ("an object was deleted", _delete),
                ):
                    seen = await change(feed.subject, seen) if change else seen
                    event = await feed.await_event(checkpoint, seen.external_id, what)
                    check_event(feed.subject, event, dated=False)

    @check("feeds")
    async def test_a_checkpoint_that_is_read_again_is_free(self) -> None:
        """The same events have equal ids when a checkpoint is read again, by any process."""
        async with self._feed() as feed:
            for entity_type in feed.subject.entity_types:
                checkpoint = await feed.start()
                made = await create_person(feed.subject, entity_type)
                await feed.await_event(checkpoint, made.external_id, "an object was created")
                first, again = [await feed.read(checkpoint) for _ in range(2)]
                same = set(map(_identity, first[0])) == set(map(_identity, again[0]))
                require(same, "an event that is read again has another id")

    @check("feeds")
    async def test_a_feed_advances(self) -> None:
        """The checkpoint changes once there are later events."""
        async with self._feed() as feed:
            loop = asyncio.get_running_loop()
            ends_at = loop.time() + self.patience_seconds
            for entity_type in feed.subject.entity_types:
                checkpoint = later = await feed.start()
                await create_person(feed.subject, entity_type)
                while later == checkpoint:
                    _, later = await feed.read(checkpoint)
                    require(loop.time() < ends_at, "the checkpoint does not advance")
                    await asyncio.sleep(_PAUSE_SECONDS)

    @check("feeds")
    async def test_lost_changes_are_reported(self) -> None:
        """`lost` is true, once, when the changes after a checkpoint can no longer be read."""
        async with self._feed() as feed:
            checkpoint = await feed.start()
            for entity_type in feed.subject.entity_types:
                await create_person(feed.subject, entity_type)
            await self.lose_changes()
            parts = await _parts(feed.subject, checkpoint)
            require(any(part.lost for part in parts), "lost changes are not reported as `lost`")
            again = await _parts(feed.subject, parts[-1].checkpoint)
            require(not any(part.lost for part in again), "`lost` is reported again")

    @check("origins")
    async def test_a_feed_names_the_origin(self) -> None:
        """`origin_key` of an event that our push caused is the idempotency key of the push."""
        async with self._feed() as feed:
            for entity_type in feed.subject.entity_types:
                checkpoint = await feed.start()
                document = person(feed.subject, entity_type)
                change = feed.subject.new_change(entity_type, document, feed.subject.record_id())
                push = feed.subject.make_push(change)
                made = await feed.subject.push(push)
                event = await feed.await_event(
                    checkpoint, made.external_id, "an object was created"
                )
                check_origin(event, push.idempotency_key)

    @check("fetch many")
    async def test_many_objects_are_fetched_as_one_is(self) -> None:
        """`fetch_many` returns what `fetch` returns, in any order, without unknown objects."""
        async with self._many() as subject:
            for entity_type in subject.entity_types:
                made = [await create_person(subject, entity_type, n) for n in range(4)]
                last = await _rename(subject, made.pop())
                gone = await _delete(subject, made.pop())
                ids = [each.external_id for each in (*made, last)]
                unknown = f"{ids[0]}0"
                found = await subject.fetch_many(entity_type, (unknown, *reversed(ids)))
                require(found.keys() >= set(ids), "`fetch_many` leaves out living objects")
                require(unknown not in found, "`fetch_many` returns an object that never existed")
                for name in ids:
                    one = await subject.fetch(entity_type, name)
                    same = _state(subject, found[name]) == _state(subject, one)
                    require(same, "`fetch_many` returns another state than `fetch`")
                deleted = (await subject.fetch_many(entity_type, [gone.external_id])).values()
                require(not any(each.data for each in deleted), "a deleted object is returned")

    @check("fetch many")
    async def test_the_largest_batch_is_fetched(self) -> None:
        """`fetch_many` accepts as many ids as `fetch_many_limit` says."""
        async with self._many() as subject:
            for entity_type in subject.entity_types:
                made = await create_person(subject, entity_type)
                unknown = self.integration.fetch_many_limit - 1
                ids = [*(f"{made.external_id}0{number}" for number in range(unknown))]
                found = await subject.fetch_many(entity_type, [*ids, made.external_id])
                require(found.keys() == {made.external_id}, "the largest batch is not complete")

    @asynccontextmanager
    async def _feed(self) -> AsyncIterator[Feed]:
        if self.integration.changes is BaseIntegration.changes:
            pytest.skip("the integration has no `changes`")
        receives = self.integration.verify_webhook is not BaseIntegration.verify_webhook
        async with self.connected() as subject:
            if receives:
                # The feed may hold the events alone that no webhook has delivered.
                await self.send_webhooks_to(_NOWHERE)
            yield Feed(subject, self.patience_seconds)

    @asynccontextmanager
    async def _many(self) -> AsyncIterator[Subject]:
        if self.integration.fetch_many is BaseIntegration.fetch_many:
            pytest.skip("the integration has no `fetch_many`")
        async with self.connected() as subject:
            yield subject


def named(event: WebhookEvent) -> str | None:
    """Return the id of the object of an event, None without one."""
    shown = event.seen or event.touched
    return shown.external_id if shown else None


def check_origin(event: WebhookEvent, key: str) -> None:
    """Fail for another origin than this key; skip for an event without an origin."""
    if event.origin_key is None:
        pytest.skip("its events have no `origin_key`")
    require(event.origin_key == key, "`origin_key` is not the idempotency key of the push")


async def _parts(subject: Subject, checkpoint: str | None) -> list[Changes]:
    parts: list[Changes] = []
    while not parts or parts[-1].more:
        parts.append(await subject.changes(checkpoint))
        checkpoint = parts[-1].checkpoint
        require(len(parts) < _MOST_PARTS, f"the feed does not end within {_MOST_PARTS} calls")
    return parts


async def _rename(subject: Subject, seen: ExternalObject) -> ExternalObject:
    document = {**person(subject, seen.entity_type), "name": "Berta Quatsch"}
    return await subject.update(seen, subject.record_id(), document)


async def _delete(subject: Subject, seen: ExternalObject) -> ExternalObject:
    return await subject.delete(seen, subject.record_id())


def _identity(event: WebhookEvent) -> str:
    """Return the id of an event; an event without an id is known by its content."""
    data = event.seen and event.seen.data
    content = [event.type, str(event.occurred), named(event), data]
    return event.id or json.dumps(content, default=str)


def _state(subject: Subject, seen: ExternalObject) -> Any:
    return subject.fields(seen), seen.record_id, seen.version, seen.memo
