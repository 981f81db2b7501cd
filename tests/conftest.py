"""Fixtures of the tests of the core: a separate database for each test."""

import logging
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.databases import Databases
from zenskar.db.driver.engine import create_engine


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Restore the logging of this process after a test or its commands."""
    root, own = logging.getLogger(), logging.getLogger("zenskar")
    handlers, levels = list(root.handlers), (root.level, own.level)
    yield
    root.handlers = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])
    structlog.reset_defaults()


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """Yield the URL of a migrated database without rows."""
    with databases.one() as url:
        yield url


@pytest_asyncio.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """Yield an engine on a migrated database without rows."""
    engine = create_engine(database_url, pool_size=5)
    yield engine
    await engine.dispose()
