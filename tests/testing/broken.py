"""Plugins that are wrong in one way each, and the checks that find them; no other check fails."""

import asyncio
import itertools
import json
import logging
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from plugins.template.tests import test_conformance as kit
from zenskar import (
    BadSignature,
    CallFailed,
    CallLimit,
    Failure,
    FailureKind,
    Usage,
    WebhookAnswer,
)
from zenskar.http import HttpError, NoAnswer, classify
from zenskar.webhooks import verify_age, verify_hmac
from zenskar_template import TemplateIntegration


@dataclass(frozen=True)
class Broken:
    """A broken plugin as a test class, and the checks that fail for it."""

    case: type[kit.TestConformance]
    caught_by: frozenset[str]


BROKEN: dict[str, Broken] = {}


def broken(
    *checks: str, base: type[kit.TestConformance] = kit.TestConformance, **parts: Any
) -> Any:
    """Register an integration with the checks that catch it, and the parts of its test class."""

    def register(kind: type[TemplateIntegration]) -> type[TemplateIntegration]:
        # The schemas are those of the template.
        kind.__module__ = TemplateIntegration.__module__
        case = type(kind.__name__, (base,), {"integration": kind, "examples": 6, **parts})
        BROKEN[kind.__name__] = Broken(case, frozenset(f"test_{name}" for name in checks))
        return kind

    return register


# --- webhooks -------------------------------------------------------------------------------


def check_signature(self: Any, *signed: str | bytes, given: str | None) -> None:
    verify_hmac(self._secrets, *signed, given=given, prefix="sha256=")


@broken("old_webhooks_are_refused", "future_webhooks_are_refused")
class ChecksNoAge(TemplateIntegration):
    def verify_webhook(self, request):
        timestamp = request.headers.get("x-timestamp", "")
        given = request.headers.get("x-signature")
        check_signature(self, timestamp, ".", request.body, given=given)


@broken("future_webhooks_are_refused")
class TrustsTheFuture(TemplateIntegration):
    def verify_webhook(self, request):
        timestamp = request.headers.get("x-timestamp", "")
        given = request.headers.get("x-signature")
        check_signature(self, timestamp, ".", request.body, given=given)
        verify_age(timestamp, max(request.received_at, int(timestamp)))


def sign_body(self, body: bytes, at: int) -> Mapping[str, str]:
    signed = kit.Crm().sign(body, 0, kit.SECRET)
    return {**signed, "X-Timestamp": str(at)}


@broken("a_changed_timestamp_is_refused", sign=sign_body)
class SignsNoTimestamp(TemplateIntegration):
    def verify_webhook(self, request):
        check_signature(self, "0.", request.body, given=request.headers.get("x-signature"))
        verify_age(request.headers.get("x-timestamp"), request.received_at)


@broken("hostile_signatures_are_refused")
class ReadsAsciiOnly(TemplateIntegration):
    def verify_webhook(self, request):
        request.headers.get("x-signature", "").encode("ascii")
        super().verify_webhook(request)


@broken("a_missing_signature_is_refused")
class NeedsTheHeader(TemplateIntegration):
    def verify_webhook(self, request):
        request.headers["x-signature"].strip()
        super().verify_webhook(request)


@broken("hostile_signatures_are_refused")
class AcceptsAnEmptySignature(TemplateIntegration):
    def verify_webhook(self, request):
        if request.headers.get("x-signature") != "":
            super().verify_webhook(request)


@broken("genuine_webhooks_are_verified")
class ReturnsTrue(TemplateIntegration):
    def verify_webhook(self, request):
        super().verify_webhook(request)
        return True


@broken("bodies_that_are_not_json_are_verified")
class DecodesTheBody(TemplateIntegration):
    def verify_webhook(self, request):
        request.body.decode()
        super().verify_webhook(request)


@broken("a_changed_body_is_refused")
class StripsTheBody(TemplateIntegration):
    def verify_webhook(self, request):
        super().verify_webhook(replace(request, body=request.body.strip()))


@broken("a_missing_signature_is_refused")
class TrustsUnsignedWebhooks(TemplateIntegration):
    def verify_webhook(self, request):
        if "x-signature" in request.headers:
            super().verify_webhook(request)


@broken("strange_bodies_are_refused")
class TrustsTheBody(TemplateIntegration):
    def parse_webhook(self, request, body):
        if "contact" in body and body["contact"].get("email", "").endswith("@test.example"):
            return []
        return super().parse_webhook(request, body)


TOKEN_PARTS: Mapping[str, Any] = {
    "webhook_url": f"https://zenskar.example/webhooks/crm/{kit.SECRET}",
    "sign": lambda _self, _body, _at: {},
}


@broken("another_token_is_refused", **TOKEN_PARTS)
class ComparesABeginning(TemplateIntegration):
    webhook_headers = ()

    def verify_webhook(self, request):
        if not request.token or not kit.SECRET.startswith(request.token):
            raise BadSignature("the token is wrong")


@broken("strange_bodies_are_refused", webhooks=(b"id=e_1&type=x",))
class ReadsFormsOnly(TemplateIntegration):
    def read_webhook(self, request):
        return dict(parse_qsl(request.body.decode()))


@broken("strange_bodies_are_refused", webhooks=(b"id=e_1&type=x",))
class ReturnsNoJson(TemplateIntegration):
    def read_webhook(self, request):
        return request


@broken("own_answers_are_valid")
class TakesEventsForChallenges(TemplateIntegration):
    def answer_challenge(self, request):
        return WebhookAnswer("ok")


@broken("own_answers_are_valid")
class ReadsChallengesBlindly(TemplateIntegration):
    def answer_challenge(self, request):
        challenge = json.loads(request.body).get("challenge")
        return challenge and WebhookAnswer(challenge)


@broken("own_answers_are_valid")
class AnswersWithText(TemplateIntegration):
    def answer_webhook(self, request, accepted, dead):
        return "<Ack/>"


# --- events ---------------------------------------------------------------------------------


@broken("events_are_deterministic")
class MakesRandomIds(TemplateIntegration):
    def parse_webhook(self, request, body):
        (event,) = super().parse_webhook(request, body)
        return [replace(event, id=str(uuid.uuid4()))]


@broken("ids_are_unique")
class UsesTheTypeAsId(TemplateIntegration):
    def parse_webhook(self, request, body):
        (event,) = super().parse_webhook(request, body)
        return [replace(event, id="constant")]


@broken("arguments_of_webhooks_stay_unchanged")
class ChangesTheBody(TemplateIntegration):
    def parse_webhook(self, request, body):
        events = super().parse_webhook(request, body)
        body["read"] = True
        return events


@broken("events_are_valid")
class SaysNoTime(TemplateIntegration):
    def parse_webhook(self, request, body):
        (event,) = super().parse_webhook(request, body)
        return [replace(event, occurred=None)]


# --- translation ----------------------------------------------------------------------------


@broken("documents_come_back")
class ShoutsNames(TemplateIntegration):
    def to_canonical(self, seen):
        document = super().to_canonical(seen)
        name = document.get("name")
        return {**document, "name": name.upper() if name else None}


@broken("documents_come_back", "fields_are_changed_and_unset")
class NeverUnsets(TemplateIntegration):
    def from_canonical(self, change):
        return {name: value for name, value in super().from_canonical(change).items() if value}


@broken("translations_are_deterministic")
class CountsBodies(TemplateIntegration):
    numbers = itertools.count()

    def from_canonical(self, change):
        return {**super().from_canonical(change), "number": next(self.numbers)}


@broken("arguments_of_translations_stay_unchanged")
class ChangesThePatch(TemplateIntegration):
    def from_canonical(self, change):
        body = super().from_canonical(change)
        change.patch.clear()
        return body


@broken("to_canonical_is_deterministic", "arguments_of_webhooks_stay_unchanged")
class ChangesTheObject(TemplateIntegration):
    def to_canonical(self, seen):
        document = super().to_canonical(seen)
        seen.data["read"] = True
        return document


# --- life cycle -----------------------------------------------------------------------------


@broken("a_created_object_is_found", "a_create_without_an_answer_is_found")
class FindsNothing(TemplateIntegration):
    async def find(self, entity_type, record_id):
        return None


@broken("a_created_object_is_found")
class FindsAnything(TemplateIntegration):
    async def find(self, entity_type, record_id):
        return next(iter((await self.list_page(entity_type, None)).objects), None)


@broken("a_created_object_is_fetched")
class ForgetsTheRecord(TemplateIntegration):
    async def fetch(self, entity_type, external_id):
        return replace(await super().fetch(entity_type, external_id), record_id=None)


@broken("a_delete_is_proven")
class ShowsDeletedObjects(TemplateIntegration):
    async def push(self, push):
        if push.kind != "delete":
            return await super().push(push)
        before = await self.fetch(push.entity_type, push.external_id)
        return replace(await super().push(push), seen=before)


@broken("pages_hold_every_object_once")
class RepeatsTheFirstPage(TemplateIntegration):
    async def list_page(self, entity_type, cursor):
        return await super().list_page(entity_type, None)


@broken("pages_hold_every_object_once")
class StopsAfterAPage(TemplateIntegration):
    async def list_page(self, entity_type, cursor):
        return replace(await super().list_page(entity_type, cursor), next_cursor=None)


@broken("a_repeated_create_has_one_effect")
class DeclaresKeysThatItDoesNotSend(TemplateIntegration):
    idempotency_key_lifetime = timedelta(hours=24)


# --- failures -------------------------------------------------------------------------------


class Overridden(TemplateIntegration):
    kinds: ClassVar[Mapping[int | str, FailureKind]]

    def classify_error(self, error):
        return classify(error, self.kinds) or super().classify_error(error)


@broken("not_visible_is_not_deleted", "not_found")
class TakesNotFoundForDeleted(Overridden):
    kinds: ClassVar = {404: FailureKind.GONE}


@broken("server_errors")
class TakesServerErrorsForRefusals(Overridden):
    kinds: ClassVar = {500: FailureKind.REJECTED}


@broken("refused_credentials")
class TakesTheKeyForWrongInput(Overridden):
    kinds: ClassVar = {401: FailureKind.REJECTED}


@broken("rate_limits")
class ReadsSecondsOnly(TemplateIntegration):
    def classify_error(self, error):
        failure = super().classify_error(error)
        hint = error.answer.headers.get("Retry-After", "") if getattr(error, "answer", None) else ""
        digits = re.fullmatch(r"\d+", hint)
        return replace(failure, retry_after=float(hint) if digits else None) if failure else None


@broken("timeouts", "broken_connections", "a_create_without_an_answer_is_found")
class KnowsAnswersOnly(TemplateIntegration):
    def classify_error(self, error):
        answered = isinstance(error, HttpError) and error.answer is not None
        return super().classify_error(error) if answered else None


@broken("a_push_is_one_call")
class RetriesPushes(TemplateIntegration):
    async def push(self, push):
        try:
            return await super().push(push)
        except HttpError as error:
            if error.status != 503:
                raise
            return await super().push(push)


@broken("logs_and_failures_show_no_values")
class QuotesTheAnswer(TemplateIntegration):
    def classify_error(self, error):
        failure = super().classify_error(error)
        answer = getattr(error, "answer", None)
        if failure is None or answer is None:
            return failure
        return replace(failure, message=str(answer.body))


@broken("logs_and_failures_show_no_values")
class LogsBodies(TemplateIntegration):
    async def push(self, push):
        logging.getLogger("zenskar.plugins.crm").info("push %s", push.body)
        return await super().push(push)


@broken("secrets_are_not_shown")
class ShowsItsKey(TemplateIntegration):
    def __repr__(self):
        return f"ShowsItsKey({self.connection.settings})"


@broken("a_setting_that_is_a_secret_says_so")
class DeclaresNoSecret(TemplateIntegration):
    settings = tuple(
        replace(each, secret=each.name != "api_key" and each.secret)
        for each in TemplateIntegration.settings
    )


@broken("a_cancelled_call_leaves_it_usable")
class HidesCancellation(TemplateIntegration):
    async def fetch(self, entity_type, external_id):
        try:
            return await super().fetch(entity_type, external_id)
        except asyncio.CancelledError:
            raise CallFailed(Failure(FailureKind.TRANSIENT, "cancelled")) from None


@broken("it_closes_twice")
class ClosesOnce(TemplateIntegration):
    async def close(self):
        await super().close()
        if self.__dict__.setdefault("closed", False):
            raise RuntimeError("closed already")
        self.__dict__["closed"] = True


@broken("it_opens_and_closes_again")
class ClosesOnlyAfterOpen(TemplateIntegration):
    async def open(self):
        self.is_open = True

    async def close(self):
        if not self.is_open:
            raise RuntimeError("not open")
        await super().close()


# --- limits and pushes together ---------------------------------------------------------------


class Limited(TemplateIntegration):
    call_limits = (
        CallLimit("search", calls=4, seconds=1, hooks=("find",)),
        CallLimit(calls=15_000, seconds=86_400),
    )


@broken("a_rate_limit_names_a_declared_limit")
class BlamesTheSearch(Limited):
    def classify_error(self, error):
        failure = super().classify_error(error)
        limited = failure and failure.kind is FailureKind.RATE_LIMITED
        return replace(failure, limit="search") if limited else failure


@broken("usage_is_counted")
class CountsAnUndeclaredLimit(Limited):
    def usage(self):
        return [Usage(used=3, limit="daily")]


@broken("usage_is_counted")
class CountsBelowZero(Limited):
    def usage(self):
        return [Usage(used=-1)]


@broken("declarations_are_valid")
class AllowsNoCalls(TemplateIntegration):
    call_limits = (CallLimit(calls=0, seconds=1),)


class Together(TemplateIntegration):
    async def push_many(self, pushes):
        return await asyncio.gather(*map(self.push, pushes), return_exceptions=True)


@broken("each_push_has_its_result", "a_refused_push_leaves_the_others")
class ReturnsAnotherOrder(Together):
    async def push_many(self, pushes):
        return (await super().push_many(pushes))[::-1]


@broken("a_refused_push_leaves_the_others")
class FailsAllForOne(Together):
    async def push_many(self, pushes):
        return await asyncio.gather(*map(self.push, pushes))


@broken("a_lost_answer_is_unknown_for_all")
class TakesALostBatchForARefusal(Together):
    async def push_many(self, pushes):
        found = await super().push_many(pushes)
        refused = CallFailed(Failure(FailureKind.REJECTED, "refused"))
        return [refused if isinstance(each, NoAnswer) else each for each in found]
