"""Check that only genuine webhooks are accepted, and that hostile ones are refused in order."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from zenskar.db.driver.storable import loads
from zenskar.errors import BadSignature, CallFailed, InvalidInput
from zenskar.model.integration import WebhookAnswer, WebhookEvent, WebhookRequest
from zenskar.sync.webhook_bodies import BODY_BOUNDS, beyond_python, storable_json
from zenskar.testing.author_part import NOW, AuthorPart
from zenskar.testing.check_method import check, require
from zenskar.testing.hostile_bodies import strange_bodies, variants
from zenskar.testing.subject import SOURCE, Subject

_HOUR = 3600
_ANSWERING = ("answer_challenge", "answer_webhook")
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


class WebhookChecks(AuthorPart):
    """The checks of `verify_webhook`, and of all webhook hooks with hostile bodies."""

    @check("webhooks")
    def test_genuine_webhooks_are_verified(self) -> None:
        """Each signed sample is verified, and the result is None."""
        subject = self.webhook_subject()
        for body in self.webhook_bodies():
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
    def test_another_token_is_refused(self) -> None:
        """A webhook to an address with another token, or without its token, is refused."""
        subject = self.webhook_subject()
        webhook = self.webhook(self.webhook_bodies()[0])
        if webhook.token is None:
            pytest.skip("the address in `webhook_url` has no token")
        token = webhook.token
        for other in (None, "", token[:-1], f"{token}0", token.swapcase(), *_HOSTILE):
            if other != token:
                changed = replace(webhook, token=other)
                require(
                    _refused(subject, changed), "another token than that of the path is accepted"
                )

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
        body = self.webhook_bodies()[0]
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
        """A body of any form has events, violates the schema or raises `InvalidInput`."""
        subject = self.webhook_subject()
        for body in self._hostile_bodies():
            _read(subject, self.webhook(body))

    @check("webhooks")
    def test_own_answers_are_valid(self) -> None:
        """A genuine webhook is no challenge, and no request breaks the answering hooks."""
        subject = self.webhook_subject()
        own = [h for h in _ANSWERING if subject.router.implements(SOURCE, h)]
        if not own:
            pytest.skip("the integration leaves every answer to the core")
        for body in self.webhook_bodies():
            webhook = self.webhook(body)
            require(_challenge(subject, webhook) is None, "a genuine webhook is a challenge")
            for accepted, dead in ((1, 0), (0, 1)):
                answer = subject.router.call(
                    SOURCE, "answer_webhook", request=webhook, accepted=accepted, dead=dead
                )
                require(isinstance(answer, WebhookAnswer | None), "the answer is none")
        for body in self._hostile_bodies():
            _challenge(subject, self.webhook(body))

    def _hostile_bodies(self) -> Iterator[bytes]:
        yield from strange_bodies()
        for sample in self.webhooks:
            yield from variants(sample)

    def _signed(self) -> Iterator[tuple[Subject, WebhookRequest, str, str]]:
        """Yield a genuine webhook with each signature header, and its value for another body."""
        subject = self.webhook_subject()
        webhook = self.webhook(self.webhook_bodies()[0])
        other = self.webhook(webhook.body + b" ").headers
        names = _differing(webhook.headers, other)
        if not names and webhook.token:
            pytest.skip("its webhooks have a token instead of a signature")
        require(names, "`sign` returns the same headers for another body")
        for name in sorted(names):
            yield subject, webhook, name, other[name]

    def _at(self, at: int) -> tuple[Subject, WebhookRequest, WebhookRequest]:
        subject = self.webhook_subject()
        body = self.webhook_bodies()[0]
        other, now = self.webhook(body, at), self.webhook(body)
        if other.headers == now.headers:
            pytest.skip("its webhooks show no time")
        return subject, other, now

    def _check_age(self, at: int) -> None:
        subject, other, _ = self._at(at)
        late = replace(other, received_at=NOW)
        require(_refused(subject, late), "a webhook of another hour is accepted")


def read_body(subject: Subject, webhook: WebhookRequest) -> Any:
    """Return the body of a webhook as the core passes it on. Raises `InvalidInput`."""
    try:
        if subject.router.implements(SOURCE, "read_webhook"):
            return storable_json(subject.router.call(SOURCE, "read_webhook", request=webhook))[0]
        body = _loads(webhook.body)
    except (RecursionError, OverflowError) as error:
        raise beyond_python(error) from None
    if problem := BODY_BOUNDS.problem(body):
        raise InvalidInput(problem)
    return body


def _loads(body: bytes) -> Any:
    try:
        return loads(body)[0]
    except ValueError:
        raise InvalidInput("the body is not JSON in UTF-8") from None


def read_events(subject: Subject, webhook: WebhookRequest) -> list[WebhookEvent]:
    """Return the events of a webhook after the checks of the core.

    Raises `InvalidInput` for a webhook that becomes a dead letter.
    """
    schema = subject.schemas.get("webhook_event")
    events: list[WebhookEvent] = []
    for body in items_of(subject, read_body(subject, webhook)):
        if schema is not None:
            schema.check(body)
        parsed = subject.router.call(SOURCE, "parse_webhook", request=webhook, body=body)
        require(isinstance(parsed, list | tuple), "`parse_webhook` must return a list")
        known = all(isinstance(each, WebhookEvent) for each in parsed)
        require(known, "not all events are `WebhookEvent`")
        events += parsed
    return events


def items_of(subject: Subject, body: Any) -> list[Any]:
    """Return the bodies that `parse_webhook` gets one by one."""
    return body if subject.integration.webhook_items and isinstance(body, list) else [body]


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


def _challenge(subject: Subject, webhook: WebhookRequest) -> WebhookAnswer | None:
    """Return the answer to a challenge, None also for a refusal."""
    try:
        answer: Any = subject.router.call(SOURCE, "answer_challenge", request=webhook)
    except InvalidInput:
        return None
    except Exception as error:
        text = f"`answer_challenge` raises {type(error).__name__} for the body {_short(webhook)}"
        raise AssertionError(text) from error
    require(isinstance(answer, WebhookAnswer | None), "`answer_challenge` returns no answer")
    return answer  # type: ignore[no-any-return]


def _refused(subject: Subject, webhook: WebhookRequest) -> bool:
    return _verify(subject, webhook) is BadSignature


def _with(webhook: WebhookRequest, name: str, value: str | None) -> WebhookRequest:
    headers = {key: each for key, each in webhook.headers.items() if key != name}
    return replace(webhook, headers=headers if value is None else {**headers, name: value})


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> set[str]:
    return {name for name, value in one.items() if other.get(name) != value}
