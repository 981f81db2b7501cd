"""The conformance kit of zenskar with a look-alike of Cardfile."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from zenskar.testing import IntegrationConformance
from zenskar_cardfile import CardfileIntegration

from .cardfile import Cardfile

SETTINGS = {"api_base": "https://cardfile.invalid", "user": "zenskar", "password": "secret"}


class TestConformance(IntegrationConformance):
    """Every check of the kit; those of webhooks are skipped, since there are none."""

    cardfile: Cardfile
    integration = CardfileIntegration
    settings = SETTINGS
    address_setting = "api_base"
    listed_objects = 101
    examples = 10

    @asynccontextmanager
    async def external_system(self) -> AsyncIterator[Mapping[str, str]]:
        async with Cardfile() as self.cardfile:
            yield self.cardfile.settings

    async def lose_changes(self) -> None:
        self.cardfile.forget()
