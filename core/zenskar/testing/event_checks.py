"""Check the events that an integration reads from genuine webhooks."""

import copy
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from zenskar.errors import InvalidInput
from zenskar.model.integration import ObjectRef, WebhookEvent, WebhookRequest
from zenskar.model.interval import Interval
from zenskar.sync.translator import check_id
from zenskar.testing.author_part import NOW, AuthorPart
from zenskar.testing.check_method import check, require
from zenskar.testing.subject import SOURCE, Subject
from zenskar.testing.webhook_checks import items_of, read_body, read_events

_MINUTE = 60


class EventChecks(AuthorPart):
    """The checks of `parse_webhook` with the samples of the author."""

    @check("events")
    def test_events_are_valid(self) -> None:
        """Each sample has valid events, and a sample shows or names an object."""
        subject, objects = self.webhook_subject(), 0
        for webhook in self._samples():
            try:
                events = read_events(subject, webhook)
            except InvalidInput as error:
                raise AssertionError(f"a genuine webhook is not valid: {error}") from error
            for event in events:
                check_event(subject, event)
                objects += event.seen is not None or event.touched is not None
        require(objects, "no sample in `webhooks` shows or names an object")

    @check("events")
    def test_ids_are_unique(self) -> None:
        """Events of different samples have different ids, events without an id aside."""
        subject = self.webhook_subject()
        events = [e for webhook in self._samples() for e in read_events(subject, webhook)]
        ids = [event.id for event in events if event.id is not None]
        require(len(ids) == len(set(ids)), "two events of different webhooks have one id")

    @check("events")
    def test_events_are_deterministic(self) -> None:
        """A webhook that is received again, by another process, has equal events."""
        self.webhook_subject()
        for webhook in self._samples():
            first, later = (
                read_events(self.webhook_subject(), each)
                for each in (webhook, replace(webhook, received_at=webhook.received_at + 1))
            )
            require(first == later, "the events of one webhook differ when it is read again")

    @check("clocks")
    def test_webhooks_have_the_second_of_their_sending(self) -> None:
        """`sent_at` is the second in which a webhook was sent, however late it is received."""
        subject, sent_at = self.webhook_subject(), NOW - _MINUTE
        for body in self.webhook_bodies():
            webhook = replace(self.webhook(body, sent_at), received_at=NOW)
            for event in read_events(subject, webhook):
                if event.sent_at is None:
                    pytest.skip("its events have no `sent_at`")
                require(
                    event.sent_at == sent_at, f"`sent_at` is off by {event.sent_at - sent_at} s"
                )

    @check("events")
    def test_arguments_of_webhooks_stay_unchanged(self) -> None:
        """The webhook hooks do not change the request or the body."""
        subject = self.webhook_subject()
        for webhook in self._samples():
            body = read_body(subject, webhook)
            before = copy.deepcopy(body)
            frozen = replace(webhook, headers=MappingProxyType(dict(webhook.headers)))
            subject.router.call(SOURCE, "verify_webhook", request=frozen)
            for item in items_of(subject, body):
                events = subject.router.call(SOURCE, "parse_webhook", request=frozen, body=item)
                for event in events:
                    if event.seen is not None:
                        subject.translator.document(SOURCE, event.seen)
            require(body == before, "the body of a webhook is changed by a hook")

    def _samples(self) -> list[WebhookRequest]:
        return [self.webhook(each) for each in self.webhook_bodies()]


def check_event(subject: Subject, event: WebhookEvent, *, dated: bool = True) -> None:
    """Fail for an event that the core refuses; without `dated`, an object needs no time."""
    _require_type("WebhookEvent.id", event.id, str | None)
    _require_type("WebhookEvent.type", event.type, str)
    _require_type("WebhookEvent.occurred", event.occurred, Interval | None)
    _require_type("WebhookEvent.touched", event.touched, ObjectRef | None)
    _require_type("WebhookEvent.sent_at", event.sent_at, int | None)
    if event.id is not None:
        check_id(event.id)
    if event.touched is not None:
        check_id(event.touched.external_id)
    if event.seen is None:
        named = event.touched is not None or event.ignored
        require(named, f"the event {event.type} has neither an object nor a reason in `ignored`")
        return
    require(event.occurred or not dated, f"the event {event.type} has no `occurred`")
    entities = subject.integration.entities
    require(event.seen.entity_type in entities, f"{event.seen.entity_type} is not in `entities`")
    try:
        subject.translator.document(SOURCE, event.seen)
    except InvalidInput as error:
        raise AssertionError(f"the object of {event.type} is not valid: {error}") from error


def _require_type(name: str, value: Any, kind: Any) -> None:
    require(isinstance(value, kind), f"{name} is of type {type(value).__name__}")
