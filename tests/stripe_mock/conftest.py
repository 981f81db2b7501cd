"""The server of the lane, and an integration that calls it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.stripe_mock import server
from zenskar import Connection
from zenskar_stripe import StripeIntegration


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """A server for the whole run: it stores nothing."""
    with server.running() as found:
        yield found


@pytest.fixture
async def stripe(address: str) -> AsyncIterator[StripeIntegration]:
    """An integration that calls the server."""
    settings = {
        "api_key": "sk_test_123",
        "webhook_secret": "whsec_test",
        "api_base": address,
        "rate_limit": 0.0,
    }
    integration = StripeIntegration(Connection("stripe", settings))
    await integration.open()
    yield integration
    await integration.close()
