"""Check that only genuine webhooks are accepted, and that hostile ones are refused in order."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from zenskar.db.driver.storable import storable
from zenskar.errors import BadSignature, CallFailed, InvalidInput
from zenskar.model.integration import WebhookEvent, WebhookRequest
from zenskar.model.json_bounds import Bounds
from zenskar.testing.author_part import NOW, AuthorPart
from zenskar.testing.check_method import check, require
from zenskar.testing.subject import SOURCE, Subject

_HOUR = 3600
_HOSTILE = (
    "",
    " ",
    ",",
    "=",
    "é",
    "\udcff",
    "sha256=é\udcff",
    "0" * 64,
    "t=,v1=",
    "9" * 5000,
    "x" * 10**6,
)
_STRANGE: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**30,
    1.5,
    "",
    "é\udcff",
    [],
    {},
    [[[]]],
    {"a": {"b": 1}},
)
_PLACES = 150
"""The members of one sample that are replaced by strange values."""


class WebhookChecks(AuthorPart):
    """The checks of `verify_webhook`, and of both webhook hooks with hostile bodies."""

    @check("webhooks")
    def test_genuine_webhooks_are_verified(self) -> None:
        """Each signed sample is verified, and the result is None."""
        subject = self.webhook_subject()
        for body in self._bodies():
            result = _verify(subject, self.webhook(body))
            require(result is None, "a genuine webhook is refused, or the result is not None")

    @check("webhooks")
    def test_another_signature_is_refused(self) -> None:
        """The signature of another body is refused."""
        for subject, webhook, name, other in self._signed():
            changed = _with(webhook, name, other)
            require(_refused(subject, changed), f"{name} of another body is accepted")

    @check("webhooks")
    def test_a_missing_signature_is_refused(self) -> None:
        """A webhook without its signature is refused."""
        for subject, webhook, name, _ in self._signed():
            require(_refused(subject, _with(webhook, name, None)), f"{name} is not needed")

    @check("webhooks")
    def test_hostile_signatures_are_refused(self) -> None:
        """Empty, non-ASCII and huge signatures are refused, and a doubled one raises no error."""
        for subject, webhook, name, _ in self._signed():
            for value in _HOSTILE:
                changed = _with(webhook, name, value)
                require(_refused(subject, changed), f"{name} {value[:20]!a} is accepted")
            doubled = f"{webhook.headers[name]},{webhook.headers[name]}"
            _verify(subject, _with(webhook, name, doubled))

    @check("webhooks")
    def test_a_changed_body_is_refused(self) -> None:
        """A body with one more byte is refused."""
        for subject, webhook, _, _ in self._signed():
            changed = replace(webhook, body=webhook.body + b" ")
            require(_refused(subject, changed), "the signature does not cover the whole body")

    @check("webhooks")
    def test_old_webhooks_are_refused(self) -> None:
        """A webhook that was sent an hour ago is refused."""
        self._check_age(NOW - _HOUR)

    @check("webhooks")
    def test_future_webhooks_are_refused(self) -> None:
        """A webhook from an hour in the future is refused."""
        self._check_age(NOW + _HOUR)

    @check("webhooks")
    def test_a_changed_timestamp_is_refused(self) -> None:
        """An old webhook with the timestamp of now is refused."""
        subject, old, new = self._at(NOW - _HOUR)
        body = self._bodies()[0]
        signatures = _differing(new.headers, self.webhook(body + b" ").headers)
        times = _differing(old.headers, new.headers) - signatures
        if not times:
            pytest.skip("its webhooks have no timestamp beside the signature")
        changed = old
        for name in times:
            changed = _with(changed, name, new.headers[name])
        changed = replace(changed, received_at=NOW)
        require(_refused(subject, changed), "the signature does not cover the timestamp")

    @check("webhooks")
    def test_bodies_that_are_not_json_are_verified(self) -> None:
        """Signed bytes of any kind raise nothing but `InvalidInput` in `verify_webhook`."""
        subject = self.webhook_subject()
        for body in (b"", b"\xff\xfe", b"{", b"[" * 10_000, b"nul\x00", b"null", b"[]", b'"x"'):
            _verify(subject, self.webhook(body))

    @check("webhooks")
    def test_strange_bodies_are_refused(self) -> None:
        """A JSON body of any form has events, violates the schema or raises `InvalidInput`."""
        subject = self.webhook_subject()
        for value in (*_STRANGE, _deep(60)):
            _read(subject, self.webhook(_encoded(value)))
        for sample in self.webhooks:
            for value in _variants(sample):
                _read(subject, self.webhook(_encoded(value)))

    def _bodies(self) -> list[bytes]:
        return [_encoded(each) for each in self.webhooks]

    def _signed(self) -> Iterator[tuple[Subject, WebhookRequest, str, str]]:
        """Yield a genuine webhook with each signature header, and its value for another body."""
        subject = self.webhook_subject()
        webhook = self.webhook(self._bodies()[0])
        other = self.webhook(webhook.body + b" ").headers
        names = _differing(webhook.headers, other)
        require(names, "`sign` returns the same headers for another body")
        for name in sorted(names):
            yield subject, webhook, name, other[name]

    def _at(self, at: int) -> tuple[Subject, WebhookRequest, WebhookRequest]:
        subject = self.webhook_subject()
        body = self._bodies()[0]
        other, now = self.webhook(body, at), self.webhook(body)
        if other.headers == now.headers:
            pytest.skip("its webhooks show no time")
        return subject, other, now

    def _check_age(self, at: int) -> None:
        subject, other, _ = self._at(at)
        late = replace(other, received_at=NOW)
        require(_refused(subject, late), "a webhook of another hour is accepted")


def read_events(subject: Subject, webhook: WebhookRequest) -> list[WebhookEvent]:
    """Return the events of a webhook after the checks of the core.

    Raises `InvalidInput` for a webhook that becomes a dead letter.
    """
    body = storable(json.loads(webhook.body))
    if problem := Bounds(members=100_000, depth=64).problem(body):
        raise InvalidInput(problem)
    schema = subject.schemas.get("webhook_event")
    if schema is not None:
        schema.check(body)
    parsed = subject.router.call(SOURCE, "parse_webhook", request=webhook, body=body)
    require(isinstance(parsed, list | tuple), "`parse_webhook` must return a list")
    require(all(isinstance(e, WebhookEvent) for e in parsed), "not all events are `WebhookEvent`")
    return list(parsed)


def _read(subject: Subject, webhook: WebhookRequest) -> None:
    try:
        for event in read_events(subject, webhook):
            if event.seen is not None:
                subject.translator.document(SOURCE, event.seen)
    except InvalidInput:
        return
    except CallFailed as error:
        raise AssertionError(f"{error} for the body {_short(webhook)}") from error
    except AssertionError:
        raise
    except Exception as error:
        text = f"{type(error).__name__} instead of `InvalidInput` for the body {_short(webhook)}"
        raise AssertionError(text) from error


def _short(webhook: WebhookRequest) -> str:
    return repr(webhook.body[:500])


def _verify(subject: Subject, webhook: WebhookRequest) -> Any:
    """Return the result of `verify_webhook`, `BadSignature` for a refusal."""
    try:
        return subject.router.call(SOURCE, "verify_webhook", request=webhook)
    except InvalidInput:
        return BadSignature
    except Exception as error:
        text = f"`verify_webhook` raises {type(error).__name__} instead of `BadSignature`"
        raise AssertionError(text) from error


def _refused(subject: Subject, webhook: WebhookRequest) -> bool:
    return _verify(subject, webhook) is BadSignature


def _with(webhook: WebhookRequest, name: str, value: str | None) -> WebhookRequest:
    headers = {key: each for key, each in webhook.headers.items() if key != name}
    return replace(webhook, headers=headers if value is None else {**headers, name: value})


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> set[str]:
    return {name for name, value in one.items() if other.get(name) != value}


def _encoded(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _deep(levels: int) -> Any:
    return [_deep(levels - 1)] if levels else []


def _variants(sample: Any) -> Iterator[Any]:
    """Yield a sample without each of its members, and with strange values in their place."""
    for place in list(_places(sample, ()))[:_PLACES]:
        yield _changed(sample, place)
        for value in _STRANGE:
            yield _changed(sample, place, value)


def _places(value: Any, place: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in members:
        yield (*place, name)
        if isinstance(inner, dict | list):
            yield from _places(inner, (*place, name))


_REMOVED = object()


def _changed(sample: Any, place: tuple[Any, ...], value: Any = _REMOVED) -> Any:
    copy: Any = json.loads(json.dumps(sample))
    inner = copy
    for name in place[:-1]:
        inner = inner[name]
    if value is _REMOVED:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return copy
