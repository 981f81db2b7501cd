"""Fixtures of the HTTP tests."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.api import Api, open_api


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    """Yield an API without authentication whose worker does not run; it serves to the end."""
    async with open_api(database_url) as api:
        yield api
        assert (await api.client.get("/customers?limit=1")).status == 200
