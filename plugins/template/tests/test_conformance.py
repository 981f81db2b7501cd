"""The conformance kit of zenskar with the imaginary CRM."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from zenskar.testing import IntegrationConformance
from zenskar_template import TemplateIntegration

from .crm import Crm

SECRET = "crm_secret"
SETTINGS = {"api_base": "https://crm.invalid", "api_key": "key", "webhook_secret": SECRET}
CONTACT = {"id": "c_1", "full_name": "Ada", "email": "ada@example.com", "external_ref": "rec_1"}


class TestConformance(IntegrationConformance):
    """Every check of the kit; the reason of a skipped check says which part is missing."""

    crm: Crm
    integration = TemplateIntegration
    settings = SETTINGS
    address_setting = "api_base"
    listed_objects = 101
    webhooks = (
        {"id": "e_1", "type": "contact.created", "at": 1_799_999_000_000, "contact": CONTACT},
        {"id": "e_2", "type": "contact.updated", "at": 1_799_999_001_000, "contact": CONTACT},
        {"id": "e_3", "type": "contact.deleted", "at": 1_799_999_002_000, "contact": CONTACT},
        {"id": "e_4", "type": "contact.note.created", "at": 1_799_999_003_000},
    )

    @asynccontextmanager
    async def external_system(self) -> AsyncIterator[Mapping[str, str]]:
        async with Crm(secret=SECRET) as self.crm:
            yield self.crm.settings

    async def send_webhooks_to(self, url: str) -> None:
        self.crm.send_webhooks_to(url)

    def sign(self, body: bytes, at: int) -> Mapping[str, str]:
        return Crm().sign(body, at, SECRET)
