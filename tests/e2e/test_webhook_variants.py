"""Webhooks that are not JSON with a signature over the body, through the whole runtime."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from plugins.template.tests.crm import Crm
from tests.e2e.test_crm_variants import equal, synced
from tests.e2e.test_template import Synced
from tests.e2e.webhook_variants import (
    ACK,
    SECRET,
    VARIANTS,
    ChallengingIntegration,
    FormCrm,
    FormIntegration,
    SoapCrm,
    SoapIntegration,
    notification,
)
from zenskar import BaseIntegration, WebhookRequest
from zenskar.db.events.event_log import EventFilter
from zenskar.model.actor import Actor
from zenskar.model.sync_event import SyncStatus


@asynccontextmanager
async def connected(
    database_url: str, crm: Crm, kind: type[BaseIntegration]
) -> AsyncIterator[Synced]:
    """Run an integration with its CRM, whose webhooks go to an address with a token."""
    async with crm, synced(database_url, kind, crm) as both:
        yield both


async def ask(
    both: Synced, path: str, method: str = "POST", **options: Any
) -> tuple[int, str, str]:
    """Send a request to the webhooks, and return the status, the content type and the text."""
    url = f"{both.address}/webhooks/crm{path}"
    async with aiohttp.ClientSession() as session:
        answer = await session.request(method, url, **options)
        return answer.status, answer.headers.get("Content-Type", ""), await answer.text()


@pytest.mark.parametrize(("crm", "kind"), VARIANTS.values(), ids=VARIANTS)
async def test_changes_of_both_sides_arrive(
    database_url: str, crm: type[Crm], kind: type[BaseIntegration]
) -> None:
    async with connected(database_url, crm(), kind) as both:
        record_id = await both.flow.create()
        grace = both.crm.add(full_name="Grace", email="grace@example.com")
        await equal(both, "Ada", "Grace")
        await both.patch(record_id, name="Ada L.")
        both.crm.edit(grace, full_name="Grace H. & Co")
        await equal(both, "Ada L.", "Grace H. & Co")
        both.crm.remove(grace)
        await equal(both, "Ada L.")
        assert {sent.status for sent in both.crm.deliveries} == {200}
        assert both.writes() == ["POST", "PATCH"]


async def test_a_webhook_is_answered_in_xml(database_url: str) -> None:
    crm = SoapCrm()
    async with connected(database_url, crm, SoapIntegration) as both:
        crm.add(full_name="Grace")
        await equal(both, "Grace")
        assert crm.answers == [ACK]
        body = notification("e_9", "contact.updated", "c_1")
        assert (await ask(both, f"/{SECRET}", data=body))[1] == "text/xml; charset=utf-8"
        for path in ("", "/wrong", f"/{SECRET}x"):
            status, kind, text = await ask(both, path, data=body)
            assert (status, kind) == (400, "application/problem+json")
            assert "<" not in text
        for rubbish in (b"", b"<", b"{}", b"\xff\xfe", body[:-9], b"<a><b/></a>"):
            assert (await ask(both, f"/{SECRET}", data=rubbish))[0] == 400


async def test_a_body_in_any_encoding_is_kept_until_the_plugin_is_fixed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm, works, bodies = SoapCrm(), SoapIntegration.read_webhook, []

    def read(self: SoapIntegration, request: WebhookRequest) -> Any:
        bodies.append(request.body)
        if len(bodies) == 1:
            raise ZeroDivisionError(request.body)
        return works(self, request)

    monkeypatch.setattr(SoapIntegration, "read_webhook", read)
    async with connected(database_url, crm, SoapIntegration) as both:
        crm.add(full_name="Grace")
        await crm.settle()
        assert crm.answers == ['{"accepted":0,"dead":1}']
        dead = EventFilter(status=SyncStatus.DEAD)
        assert await both.flow.runtime.replay.retry(dead, Actor("me", "here")) == 1
        await equal(both, "Grace")
        assert bodies[0] == bodies[1] == notification("e_1", "contact.created", "c_1")


async def test_a_text_of_a_form_is_stored_like_any_other(database_url: str) -> None:
    async with connected(database_url, FormCrm(), FormIntegration) as both:
        both.crm.add(full_name="a\0b", email="a@example.com")
        await both.settle()
        query = "SELECT name FROM customers"
        assert await both.flow.scalar(query) == "a\N{REPLACEMENT CHARACTER}b"


CHALLENGE = {"hub.mode": "subscribe", "hub.verify_token": SECRET, "hub.challenge": "<b>1158"}


async def test_a_challenge_is_answered_and_stores_nothing(database_url: str) -> None:
    async with connected(database_url, Crm(), ChallengingIntegration) as both:
        assert await ask(both, "", "GET", params=CHALLENGE) == (200, "text/plain", "<b>1158")
        for token in ("", "wrong"):
            wrong = {**CHALLENGE, "hub.verify_token": token}
            assert (await ask(both, "", "GET", params=wrong))[0] == 400
        assert await both.flow.scalar("SELECT count(*) FROM sync_events") == 0


async def test_a_failing_hook_refuses_a_challenge_and_no_durable_event(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, request: WebhookRequest) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(ChallengingIntegration, "answer_challenge", fail)
    async with connected(database_url, Crm(), ChallengingIntegration) as both:
        assert (await ask(both, "", "GET", params=CHALLENGE))[0] == 503
    monkeypatch.setattr(SoapIntegration, "answer_webhook", lambda self: 7)
    async with connected(database_url, SoapCrm(), SoapIntegration) as both:
        body = notification("e_9", "contact.updated", "c_1")
        assert await ask(both, f"/{SECRET}", data=body) == (
            200,
            "application/json",
            '{"accepted":1}',
        )


@pytest.mark.parametrize(
    ("kind", "allowed"), [(FormIntegration, "POST"), (ChallengingIntegration, "GET,HEAD,POST")]
)
async def test_other_methods_than_the_declared_are_refused(
    database_url: str, kind: type[BaseIntegration], allowed: str
) -> None:
    async with (
        connected(database_url, FormCrm(), kind) as both,
        aiohttp.ClientSession(both.address) as session,
    ):
        for method in {"GET", "HEAD", "PUT", "DELETE"} - set(allowed.split(",")):
            for path in ("/webhooks/crm", f"/webhooks/crm/{SECRET}"):
                refused = await session.request(method, path)
                assert (refused.status, refused.headers["Allow"]) == (405, allowed)
        assert (await session.put("/webhooks/unknown")).status == 404
