"""The PostgreSQL that comes as a wheel."""

import asyncio
import errno
import os
import shutil
import signal
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from tests.cli.processes import empty_folder
from tests.support.wait import until
from zenskar.db.driver.embedded import embedded_postgres, start_server
from zenskar.db.driver.embedded_state import PASSWORD, locked, made_once, server_process
from zenskar.errors import ConfigurationError

SOMEBODY = 54_321
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as another user")


@pytest.fixture
def folder() -> Iterator[Path]:
    with empty_folder() as made:
        yield made


async def ask(url: str, query: str = "SELECT 1", **options: str) -> object:
    connection = await asyncpg.connect(url, **options)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def refuses(url: str) -> bool:
    """Tell whether the server lets nobody in who has no password, or a wrong one."""
    for password in ("", "postgres"):
        with pytest.raises((asyncpg.InvalidPasswordError, asyncpg.InternalClientError)):
            await ask(url, password=password)
    return True


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def owner(path: Path) -> int:
    return path.stat().st_uid


def permit(path: Path, mode: int) -> None:
    path.mkdir(exist_ok=True)
    path.chmod(mode)


def connect_as(user: int, path: Path) -> int:
    """Return the errno that somebody else's connection meets, 0 without one."""
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        with socket.socket(socket.AF_UNIX) as client:
            os._exit(client.connect_ex(str(path)))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


async def test_every_connection_needs_the_password(folder: Path) -> None:
    async with embedded_postgres(folder / "data") as url:
        data = folder / "data" / "postgres"
        assert await ask(url) == 1
        assert await refuses(url)
        assert "trust" not in (data / "pg_hba.conf").read_text()
        assert await ask(url, "SHOW password_encryption") == "scram-sha-256"
        assert await ask(url, "SHOW listen_addresses") == ""
        assert mode(data) == 0o700
        assert mode(data / PASSWORD) == mode(data / "pg_hba.conf") == 0o600
        assert len((data / PASSWORD).read_text()) > 30
        assert mode(data / ".s.PGSQL.5432") == 0o700
    assert server_process(folder / "data" / "postgres") is None
    async with embedded_postgres(folder / "data") as again:
        assert again == url


async def test_a_connection_hashes_the_random_password_once(folder: Path) -> None:
    async with embedded_postgres(folder / "data") as url:
        kept = await ask(url, "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'")
        assert str(kept).startswith("SCRAM-SHA-256$1:")


def elsewhere() -> set[Path]:
    return set(Path(tempfile.gettempdir()).iterdir())


def holds_a_socket(path: Path) -> bool:
    return path.is_socket() or any(path.glob(".s.PGSQL*"))


async def test_a_long_path_creates_no_other_folder(folder: Path) -> None:
    long = folder / ("x" * 90) / ("y" * 90)
    before = elsewhere()
    async with embedded_postgres(long) as url:
        assert await ask(url) == 1
        assert (long / "postgres" / ".s.PGSQL.5432").is_socket()
        joined = start_server(long / "postgres")
        assert await ask(joined.get_uri()) == 1
        joined._where.close()
        assert not [path for path in elsewhere() - before if holds_a_socket(path)]


@as_root
async def test_another_local_user_cannot_even_connect(folder: Path) -> None:
    permit(folder, 0o755)
    async with embedded_postgres(folder / "data"):
        path = folder / "data" / "postgres" / ".s.PGSQL.5432"
        assert connect_as(SOMEBODY, path) == errno.EACCES


@as_root
@pytest.mark.parametrize("above", [0o700, 0o711])
async def test_as_root_the_server_changes_nothing_outside_its_folder(
    folder: Path, above: int
) -> None:
    permit(folder, above)
    permit(folder / "mine", 0o700)
    watched = [folder, folder / "mine", *folder.parents, *Path(__file__).parents]
    watched += Path(stat.__file__).parents
    before = {path: (mode(path), owner(path)) for path in watched}
    async with embedded_postgres(folder / "mine" / "data") as url:
        running = server_process(folder / "mine" / "data" / "postgres")
        assert owner(Path(f"/proc/{running}")) not in {0, 65534}
        assert await ask(url) == 1
    assert {path: (mode(path), owner(path)) for path in watched} == before


@as_root
async def test_as_root_an_unsafe_folder_is_refused_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    permit(folder, 0o700)
    with pytest.raises(ConfigurationError, match=f"may not pass {folder}") as raised:
        start_server(folder / "data" / "postgres")
    assert "\n" not in str(raised.value)
    assert mode(folder) == 0o700


async def as_the_release_before_left_it(url: str, data: Path) -> None:
    (data / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 trust\n")
    await ask(url, "SELECT pg_reload_conf()")
    await until(lambda: lets_in(url))
    await ask(url, "CREATE TABLE kept AS SELECT 7 AS value")
    await ask(url, "ALTER USER postgres PASSWORD NULL")
    (data / PASSWORD).unlink()


async def lets_in(url: str) -> bool:
    try:
        return await ask(url, password="") == 1
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


@pytest.mark.parametrize("running", [True, False])
async def test_a_database_of_an_older_release_gets_a_password(folder: Path, running: bool) -> None:
    data = folder / "data" / "postgres"
    async with embedded_postgres(folder / "data") as url:
        await as_the_release_before_left_it(url, data)
        if running:
            async with embedded_postgres(folder / "data") as now:
                await until(lambda: shut(now))
                assert await ask(now, "SELECT value FROM kept") == 7
                assert await refuses(now)
    async with embedded_postgres(folder / "data") as now:
        assert await ask(now, "SELECT value FROM kept") == 7
        assert await refuses(now)


async def shut(url: str) -> bool:
    return not await lets_in(url)


async def test_a_killed_server_is_restarted(folder: Path) -> None:
    data = folder / "data" / "postgres"
    with capture_logs() as logs:
        async with embedded_postgres(folder / "data") as url:
            await ask(url, "CREATE TABLE kept AS SELECT 7 AS value")
            killed = server_process(data)
            assert killed is not None
            os.kill(killed, signal.SIGKILL)
            await until(lambda: restarted(url), 60)
            assert await ask(url, "SELECT value FROM kept") == 7
            assert server_process(data) != killed
            await until(lambda: told(logs), 60)
        assert server_process(data) is None


async def told(logs: Sequence[Mapping[str, object]]) -> bool:
    return any(each["event"] == "database_restarted" for each in logs)


async def restarted(url: str) -> bool:
    try:
        return await ask(url) == 1
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


async def test_two_processes_that_start_together_share_the_server(folder: Path) -> None:
    """As root, the second one took the folder from the account that was making the database."""
    data = folder / "postgres"
    first = asyncio.create_task(asyncio.to_thread(start_server, data))
    await until(lambda: exists(data / "PG_VERSION"))
    second = await asyncio.to_thread(start_server, data)
    try:
        assert await ask((await first).get_uri()) == await ask(second.get_uri()) == 1
    finally:
        second.stop()


async def test_an_incomplete_database_is_created_again(folder: Path) -> None:
    data = folder / "postgres"
    with locked(data), suppress(KeyboardInterrupt), made_once(data):
        (data / "base").mkdir(parents=True)
        (data / "PG_VERSION").write_text("18\n")
        raise KeyboardInterrupt
    async with embedded_postgres(folder) as url:
        assert await ask(url) == 1


async def exists(path: Path) -> bool:
    return await asyncio.to_thread(path.exists)


async def test_the_last_process_stops_the_server(folder: Path) -> None:
    async with embedded_postgres(folder / "data") as url:
        other = start_server(folder / "data" / "postgres")
        assert other.get_uri() == url
    assert not other.answers()


async def test_a_reused_process_id_is_not_the_server(
    folder: Path,
) -> None:
    data = folder / "data" / "postgres"
    async with embedded_postgres(folder / "data"):
        lines = (data / "postmaster.pid").read_text().splitlines()
    (data / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert server_process(data) is None


async def test_a_failure_is_reported_in_one_line(folder: Path) -> None:
    async with embedded_postgres(folder / "data"):
        pass
    (folder / "data" / "postgres" / "postgresql.conf").write_text("nonsense = 1\n")
    with pytest.raises(ConfigurationError, match="did not start in") as raised:
        start_server(folder / "data" / "postgres")
    assert "\n" not in str(raised.value)
