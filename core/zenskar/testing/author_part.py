"""The part of a conformance test that the author of a plugin writes."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from zenskar.model.integration import WebhookRequest
from zenskar.plugins.base import BaseIntegration
from zenskar.plugins.carried import limits_name
from zenskar.testing.check_method import require
from zenskar.testing.databases import empty_database
from zenskar.testing.documents import Documents, customers
from zenskar.testing.fault_proxy import FaultProxy
from zenskar.testing.hostile_bodies import encoded
from zenskar.testing.subject import Subject, build, opened

NOW = 1_800_000_000
"""The time of every webhook of the checks, in Unix seconds."""


class AuthorPart:
    """The declarations of an author. A check that needs a missing part is skipped."""

    integration: ClassVar[type[BaseIntegration]]
    """The class under test."""
    settings: ClassVar[Mapping[str, Any]] = {}
    """The settings of a connection, as in its environment; the secrets must be true ones."""
    webhooks: ClassVar[Sequence[Any]] = ()
    """The bodies of genuine webhooks, as JSON or as bytes, each of another event."""
    webhook_url: ClassVar[str] = "https://zenskar.example/webhooks/acme"
    """The URL that all webhooks are sent to, which `sign` may sign. Its path may have a token:
    `/webhooks/NAME/TOKEN`."""
    address_setting: ClassVar[str | None] = None
    """The setting with the base address of the external system."""
    listed_objects: ClassVar[int] = 3
    """The number of objects that needs more than one page."""
    examples: ClassVar[int] = 30
    """The number of documents that each check of a translation sends."""
    version_seconds: ClassVar[float] = 0.0
    """The time between two changes that have two versions, where a version is a time."""
    patience_seconds: ClassVar[float] = 30.0
    """The time in which a whole runtime must make both sides equal."""

    def external_system(self) -> AbstractAsyncContextManager[Mapping[str, Any]]:
        """Return an async context manager that runs a look-alike of the external system, empty.

        The manager yields the settings of a connection to the look-alike, in addition to
        `settings`.
        """
        pytest.skip("the test class has no `external_system`")

    def sign(self, body: bytes, at: int) -> Mapping[str, str]:  # noqa: ARG002
        """Return the headers that a genuine webhook to `webhook_url` has at a Unix second."""
        pytest.skip("the test class has no `sign`")

    async def send_webhooks_to(self, url: str) -> None:  # noqa: ARG002
        """Send the webhooks of the running look-alike to an address, besides earlier ones."""
        pytest.skip("the test class has no `send_webhooks_to`")

    async def lose_changes(self) -> None:
        """Remove the past changes of the running look-alike, so that a feed cannot show them."""
        pytest.skip("the test class has no `lose_changes`")

    def database(self) -> AbstractAsyncContextManager[str]:
        """Return an async context manager that yields the URL of an empty, migrated database."""
        return empty_database()

    def documents(self, subject: Subject, entity_type: str) -> Documents:
        """Return the documents that the checks of translations send, within the limits."""
        made = customers(subject.shape(entity_type))
        limits = subject.schemas.get(limits_name(subject.integration, entity_type))
        return made.filter(limits.accepts) if limits else made

    # --- the parts in use -------------------------------------------------------------------

    def closed(self) -> Subject:
        """Build the integration without a system behind it."""
        return build(self.integration, self.settings)

    def webhook(self, body: bytes, at: int = NOW) -> WebhookRequest:
        """Return a genuine webhook that is received at once."""
        headers = {name.lower(): value for name, value in self.sign(body, at).items()}
        url = urlsplit(self.webhook_url)
        token = url.path.rpartition("/webhooks/")[2].partition("/")[2]
        query = parse_qs(url.query, keep_blank_values=True)
        return WebhookRequest(
            headers, body, at, url=self.webhook_url, query=query, token=unquote(token) or None
        )

    def token_path(self) -> str:
        """Return the end of the path in `webhook_url` that is the token, empty without one."""
        after = urlsplit(self.webhook_url).path.rpartition("/webhooks/")[2]
        return "".join(after.partition("/")[1:])

    def webhook_bodies(self) -> list[bytes]:
        """Return the bodies of the samples in `webhooks`."""
        return [each if isinstance(each, bytes) else encoded(each) for each in self.webhooks]

    def webhook_subject(self) -> Subject:
        """Build the integration, unless it takes no webhooks."""
        if self.integration.verify_webhook is BaseIntegration.verify_webhook:
            pytest.skip("the integration takes no webhooks")
        if not self.webhooks:
            pytest.skip("the test class has no `webhooks`")
        return self.closed()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Subject]:
        """Run the look-alike and an open integration; calls go through a proxy where possible."""
        async with self.external_system() as given:
            settings = {**self.settings, **given}
            name = self.address_setting
            if name is None:
                async with opened(build(self.integration, settings)) as subject:
                    yield subject
                return
            require(name in settings, f"`address_setting` names no setting: {name}")
            async with FaultProxy(str(settings[name]), lambda: NOW) as proxy:
                subject = build(self.integration, {**settings, name: proxy.address})
                async with opened(replace(subject, faults=proxy)) as ready:
                    yield ready

    @asynccontextmanager
    async def breakable(self) -> AsyncIterator[tuple[Subject, FaultProxy]]:
        """Run the look-alike, an open integration, and the proxy that breaks its calls."""
        if self.address_setting is None:
            pytest.skip("the test class has no `address_setting`")
        async with self.connected() as subject:
            if subject.faults is None:
                raise AssertionError("the calls do not go through the proxy")
            yield subject, subject.faults
