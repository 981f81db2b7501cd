"""One PostgreSQL for all tests of the repository, those of plugins and examples too."""

import gc
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))  # so that `tests.support` can be imported

from tests.support import postgres
from tests.support.databases import Databases

RUNTIME_CHECKS = "zenskar.testing.runtime_checks"


def pytest_configure(config: pytest.Config) -> None:
    """Share one server between the workers of a session, and judge no example by its seconds."""
    # A busy machine draws and runs an example in seconds, and the code is still right.
    settings.register_profile(
        "any_speed", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("any_speed")
    if not hasattr(config, "workerinput"):
        postgres.prepare_session()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers of the tests."""
    if not hasattr(config, "workerinput"):
        postgres.finish_session()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave the modules and the tests of the session out of every search for garbage.

    Otherwise, each search would walk through thousands of tests.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


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


@pytest.fixture(autouse=True)
def conformance_database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a check of a whole runtime a database of this server, instead of a server of its own."""
    if request.function.__module__ == RUNTIME_CHECKS:
        from zenskar.testing.author_part import AuthorPart

        databases: Databases = request.getfixturevalue("databases")
        monkeypatch.setattr(AuthorPart, "database", lambda _case: databases.one_more())
