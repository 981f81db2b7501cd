"""The start of every command: settings, logs, and a database with the right schema."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from zenskar.errors import ConfigurationError, InvalidInput
from zenskar.ids import is_id

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from zenskar.settings import Settings

T = TypeVar("T")


def read_settings(
    defaults: Mapping[str, str] | None = None, **overrides: Any
) -> tuple["Settings", Mapping[str, str]]:
    """Return the settings, and the environment of the connections.

    Beside a running `zenskar dev`, commands use its sandboxes. Raises `ConfigurationError` when a
    setting is wrong.
    """
    from zenskar.cli.data_folder import DataFolder
    from zenskar.settings import environment, layered, load

    variables = layered(defaults or {}, environment())
    settings = load(variables, **overrides)
    running = DataFolder(settings.data_dir).running()
    return settings, layered(running.variables if running else {}, variables)


def configure_logs(settings: "Settings", environment: Mapping[str, str], *, serving: bool) -> None:
    """Write logs to standard error; a command that does not serve logs warnings by default."""
    from zenskar.settings import lookup
    from zenskar.telemetry import logs

    quiet = not serving and lookup(environment, "ZENSKAR_LOG_LEVEL") is None
    plain = not serving and lookup(environment, "ZENSKAR_LOG_FORMAT") is None
    logs.configure(
        "warning" if quiet else settings.log_level, "console" if plain else settings.log_format
    )


def run_with_engine(operation: "Callable[[AsyncEngine], Awaitable[T]]") -> T:
    """Run an operation on an engine and return its result."""
    settings, environment = read_settings()
    configure_logs(settings, environment, serving=False)

    async def with_engine() -> T:
        async with open_current(settings) as engine:
            return await operation(engine)

    return asyncio.run(with_engine())


def parse_id(text: str) -> str:
    """Return an id in its stored form. Raises `InvalidInput` when the text is not an id."""
    if not is_id(text):
        raise InvalidInput(f"{text!r} is not an id")
    return text.lower()


@asynccontextmanager
async def open_current(settings: "Settings") -> AsyncIterator["AsyncEngine"]:
    """Yield an engine on a database with the schema of this release.

    Raises `ConfigurationError` without a database or with another schema, and `Unavailable` when
    the database does not answer.
    """
    from zenskar.db.driver.database import open_engine
    from zenskar.db.schema.present import require_schema

    require_database(settings)
    async with open_engine(settings) as engine:
        await require_schema(engine)
        yield engine


def require_database(settings: "Settings") -> None:
    """Raise `ConfigurationError` unless a database exists: a query must not create a database.

    Raises the same error when this user cannot open the data folder.
    """
    if settings.database_url is None and not has_embedded(settings):
        raise ConfigurationError(
            f"there is no database in {settings.data_dir.resolve()} yet: run `zenskar migrate` or "
            "`zenskar dev`, or set ZENSKAR_DATABASE_URL or ZENSKAR_DATA_DIR"
        )


def has_embedded(settings: "Settings") -> bool:
    """Return whether the data folder holds an embedded database.

    Raises `ConfigurationError` when this user cannot open the data folder.
    """
    try:
        return (settings.data_dir / "postgres" / "PG_VERSION").exists()
    except OSError as error:
        raise ConfigurationError(
            f"the data folder {settings.data_dir} cannot be used: {error.strerror}"
        ) from error


async def notify(db: "AsyncConnection", *topics: str) -> None:
    """Wake the workers that wait for these topics, once the transaction is committed."""
    from sqlalchemy import text

    from zenskar.bus.postgres.notifier import CHANNEL

    for topic in topics:
        await db.execute(
            text("SELECT pg_notify(:channel, :topic)"), {"channel": CHANNEL, "topic": topic}
        )
