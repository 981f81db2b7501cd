"""Fixtures of all tests: a real PostgreSQL, and a separate database for each test."""

import logging
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

sys.path.insert(0, str(Path(__file__).parent.parent))  # so that `tests.support` can be imported

from tests.support import postgres
from tests.support.databases import Databases
from zenskar.db.driver.engine import create_engine


def pytest_configure(config: pytest.Config) -> None:
    """Share one server between the workers of a session."""
    if not hasattr(config, "workerinput"):
        postgres.prepare_session()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers of the tests."""
    if not hasattr(config, "workerinput"):
        postgres.finish_session()


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


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """Return the URL of a running server; use `database_url` unless the test needs the server."""
    return postgres.server_url()


@pytest.fixture(scope="session")
def databases(postgres_server: str) -> Iterator[Databases]:
    """Yield the databases of this process."""
    databases = Databases(postgres_server)
    yield databases
    databases.drop_all()


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
