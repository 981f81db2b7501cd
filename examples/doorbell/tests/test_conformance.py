"""The conformance kit of zenskar with a look-alike of Doorbell."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from zenskar import BadSignature, Connection, WebhookRequest
from zenskar.testing import IntegrationConformance
from zenskar_doorbell import FIELDS, DoorbellIntegration

from .doorbell import API_KEY, SECRET, Doorbell

SETTINGS = {"api_base": "https://doorbell.invalid", "api_key": API_KEY, "webhook_secret": SECRET}


class TestConformance(IntegrationConformance):
    """Every check of the kit; those of the age of webhooks are skipped, since they have no time."""

    doorbell: Doorbell
    integration = DoorbellIntegration
    settings = SETTINGS
    address_setting = "api_base"
    listed_objects = 101
    examples = 10
    webhooks = (
        {"rings": [{"about": "person", "id": "p_1"}, {"about": "person", "id": "p_2"}]},
        {"rings": [{"about": "visit", "id": "v_1"}]},
        {"rings": []},
    )

    @asynccontextmanager
    async def external_system(self) -> AsyncIterator[Mapping[str, str]]:
        async with Doorbell() as self.doorbell:
            yield self.doorbell.settings

    async def send_webhooks_to(self, url: str) -> None:
        self.doorbell.send_webhooks_to(url)

    def sign(self, body: bytes, at: int) -> Mapping[str, str]:
        return Doorbell().sign(body, at, SECRET, self.webhook_url)


def test_a_sender_without_the_certificate_of_doorbell_is_refused() -> None:
    given = SETTINGS | {"webhook_certificate": "doorbell"}
    integration = DoorbellIntegration(Connection("doorbell", given))
    headers = Doorbell().sign(b"{}", 0, SECRET, "https://zenskar.example/webhooks/doorbell")
    genuine = WebhookRequest(
        headers={name.lower(): value for name, value in headers.items()},
        body=b"{}",
        received_at=0,
        url="https://zenskar.example/webhooks/doorbell",
        certificate="doorbell",
    )
    integration.verify_webhook(genuine)
    for wrong in ({"certificate": None}, {"certificate": "bell"}, {"url": "https://other.example"}):
        with pytest.raises(BadSignature):
            integration.verify_webhook(replace(genuine, **wrong))


def test_both_translations_undo_each_other() -> None:
    FIELDS.check_round_trip()
