"""The URL of the database."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.kafka.postgres import Server, open_server
from tests.support.databases import Databases
from tests.support.postgres import open_gate
from zenskar.bus.postgres.notifier import Notifier
from zenskar.db.driver.address import CannotConnect, read_address
from zenskar.db.driver.engine import create_engine, ping, transaction
from zenskar.errors import ConfigurationError, Unavailable


class Seen(Exception):
    """Ends a connection before it is one."""


async def told_to_driver(url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the driver would be called with."""
    seen: dict[str, Any] = {}

    async def connect(**given: Any) -> None:
        seen.update(given)
        raise Seen

    monkeypatch.setattr(asyncpg, "connect", connect)
    with pytest.raises(Seen):
        await read_address(url).connect(seconds=5, application="zenskar")
    return seen


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        # As providers print them.
        (
            "postgres://doadmin:AVNS_x-y@db-1.b.db.ondigitalocean.com:25060/defaultdb?sslmode=require",
            {"user": "doadmin", "password": "AVNS_x-y", "port": 25060, "database": "defaultdb"},
        ),
        ("postgresql://u:p@ep-x.neon.tech/neondb?sslmode=require&options=endpoint%3Dep-x", {}),
        ("postgresql://u%40server:p@server.postgres.database.azure.com/db", {"user": "u@server"}),
        ("postgresql://u:p%2F%3F%40@h/db", {"password": "p/?@"}),
        ("postgresql://u:p/?#@h/db", {"password": "p/?#", "host": "h"}),
        ("postgresql://u:a@b@h:1/db?sslmode=disable", {"password": "a@b", "host": "h", "port": 1}),
        ("postgresql://[::1]:5433/db", {"host": "::1", "port": 5433}),
        ("postgresql+asyncpg://u@h/db?ssl=require", {"host": "h", "port": 5432}),
        ("postgresql:///db?host=%2Frun%2Fpg&port=5434", {"host": "/run/pg", "port": 5434}),
        ("postgresql://h/db?user=u&password=p%26q", {"user": "u", "password": "p&q"}),
        ("postgresql://h:5432/db?options=-c%20search_path%3Da@b", {"host": "h", "port": 5432}),
        ("postgresql://h/db?connect_timeout=3", {"timeout": 3.0}),
        ("postgresql://h/db?connect_timeout=1", {"timeout": 2.0}),
        ("postgresql://h/db?connect_timeout=0", {"timeout": 5}),
        ("postgresql://h1,h2/db", {"target_session_attrs": "read-write"}),
        ("postgresql://h1,h2/db?target_session_attrs=any", {"target_session_attrs": "any"}),
        ("postgresql://h/db", {"target_session_attrs": "any"}),
        ("postgresql://h/db?keepalives=1&keepalives_idle=30&sslsni=1", {"host": "h"}),
        (
            "postgresql://h/db?application_name=",
            {"server_settings": {"application_name": "zenskar"}},
        ),
        (
            "postgresql://h/db?application_name=mine",
            {"server_settings": {"application_name": "mine"}},
        ),
        (
            "postgresql://h/db?options=-c%20a%3Db",
            {"server_settings": {"application_name": "zenskar", "options": "-c a=b"}},
        ),
        ("postgresql://h/db?sslmode=require", {"dsn": "postgresql:///?sslmode=require"}),
        ("postgresql://h/db?ssl=true", {"dsn": "postgresql:///?sslmode=require"}),
    ],
)
async def test_urls_of_providers_are_accepted(
    url: str, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = await told_to_driver(url, monkeypatch)
    assert {name: seen.get(name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("sslrootcert=/nowhere/s3cret.crt", "sslrootcert names a file"),
        ("sslcert=/nowhere.crt&sslmode=require", "sslcert names a file"),
        ("target_session_attrs=standby", "target_session_attrs has to be one of"),
        ("connect_timeout=soon", "connect_timeout has to be"),
        ("channel_binding=require", "channel_binding is followed only as"),
        ("pgbouncer=true", "pgbouncer is not known"),
        ("search_path=mine", "search_path is not known"),
        ("host=a,b&port=1,2,3", "port has to be"),
        ("sslrootcert=system&sslmode=require", "sslrootcert is system"),
        ("%1b%5b31m=1", "a parameter is not known"),
    ],
)
def test_an_unsupported_parameter_is_refused_by_name(query: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as raised:
        create_engine(f"postgresql://u:s3cret-password@h/db?{query}", pool_size=2)
    assert "s3cret-password" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://h/db",
        "h:5432/db",
        "postgresql://h:port/db",
        "postgresql://h:99999/db",
        "postgresql://a,,b/db",
    ],
)
def test_a_text_without_a_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        read_address(url)


async def test_refusals_of_asyncpg_are_reported(database_url: str) -> None:
    engine = create_engine("postgresql://u@127.0.0.1:1/db?sslmode=strange", pool_size=2)
    with pytest.raises(ConfigurationError, match="sslmode"):
        await ping(engine)


async def test_the_server_shows_the_application(database_url: str) -> None:
    engine = create_engine(database_url, pool_size=2, application="zenskar worker")
    async with transaction(engine) as db:
        query = "SELECT current_setting('application_name')"
        assert (await db.exec_driver_sql(query)).scalar() == "zenskar worker"
    await engine.dispose()


@pytest_asyncio.fixture
async def encrypted(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Server, Path]]:
    """Start a server that takes TLS, with a certificate of its own."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="zenskar-tls-") as name:
        folder = Path(name)
        _open_to_the_server(folder)
        async with open_server(folder) as server:
            data = folder / "postgres"
            await asyncio.to_thread(_certify, data)
            connection = await asyncpg.connect(server.url)
            await connection.execute("ALTER SYSTEM SET ssl = on")
            await connection.execute("SELECT pg_reload_conf()")
            await connection.close()
            hba = (data / "pg_hba.conf").read_text().replace("host ", "hostssl ")
            (data / "pg_hba.conf").write_text(hba)
            ca = folder / "ca.crt"
            ca.write_text((data / "server.crt").read_text())
            yield server, ca


def _open_to_the_server(folder: Path) -> None:
    folder.chmod(0o711)


def _certify(data: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, and it makes the certificate")
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    files = ("-keyout", str(data / "server.key"), "-out", str(data / "server.crt"))
    command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    subprocess.run((*command, *files, *subject), check=True, capture_output=True)
    for name in ("server.key", "server.crt"):
        shutil.chown(data / name, data.owner(), data.group())
        (data / name).chmod(0o600)


async def uses_tls(url: str) -> bool:
    engine = create_engine(url, pool_size=2)
    try:
        async with transaction(engine) as db:
            query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            return bool((await db.exec_driver_sql(query)).scalar())
    finally:
        await engine.dispose()


async def test_tls_with_a_managed_server(encrypted: tuple[Server, Path]) -> None:
    server, ca = encrypted
    url = server.url
    named = url.replace("127.0.0.1", "localhost")
    async with asyncio.timeout(20):
        while not await _tls_is_on(url):
            await asyncio.sleep(0.05)
    assert await uses_tls(f"{url}?sslmode=require&connect_timeout=5&application_name=x")
    assert await uses_tls(f"{named}?sslmode=verify-full&sslrootcert={ca}")
    assert await uses_tls(f"{url}?sslmode=verify-ca&sslrootcert={ca}")
    with pytest.raises(Unavailable, match="certificate"):
        await uses_tls(f"{url}?sslmode=verify-full&sslrootcert={ca}")
    with pytest.raises(Unavailable, match="certificate"):
        await uses_tls(f"{named}?sslrootcert=system")
    notifier = Notifier(f"{url}?sslmode=require")
    connection = await notifier._address.connect(seconds=5, application="zenskar")
    assert await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    await connection.close()


async def _tls_is_on(url: str) -> bool:
    try:
        return await uses_tls(f"{url}?sslmode=require")
    except Unavailable:
        return False


async def test_a_server_without_tls_is_refused_when_tls_is_required(tmp_path: Path) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(b"N")
        await writer.drain()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(CannotConnect, match="takes no TLS"):
        await read_address(f"postgresql://u@127.0.0.1:{port}/d?sslmode=require").connect(
            seconds=5, application="zenskar"
        )
    server.close()


async def test_the_working_host_of_several_is_used(database_url: str, databases: Databases) -> None:
    async with open_gate(database_url) as first, open_gate(database_url) as second:
        joined = _both(first.url, second.url)
        engine = create_engine(joined, pool_size=1)
        await ping(engine)
        await first.close()
        await _answers(engine)
        await first.open()
        await second.close()
        await _answers(engine)
        await second.close()
        await engine.dispose()


async def test_a_silent_host_uses_only_its_own_time_limit(database_url: str) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        async with open_gate(database_url) as gate:
            folder = gate.url.partition("host=")[2]
            port = silent.getsockname()[1]
            base = gate.url.partition("?")[0]
            url = f"{base}?host=127.0.0.1,{folder}&port={port},5432&sslmode=disable"
            address = read_address(url)
            connection = await address.connect(seconds=0.5, application="zenskar")
            await connection.close()
            # The good one comes first from now on.
            async with asyncio.timeout(5):
                for _ in range(20):
                    opened = await address.connect(seconds=0.5, application="zenskar")
                    await opened.close()


async def test_a_standby_is_skipped(database_url: str) -> None:
    async with open_gate(database_url) as gate:
        other = _both(gate.url, database_url.replace("@/", "@/"))
        engine = create_engine(
            f"{other}&options=-c%20default_transaction_read_only%3Don", pool_size=2
        )
        with pytest.raises(Unavailable, match="takes writes"):
            await ping(engine)
        await engine.dispose()


async def _answers(engine: Any) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                return await ping(engine)
            except Unavailable:
                await asyncio.sleep(0.02)


def _both(first: str, second: str) -> str:
    base, _, host = first.partition("?host=")
    return f"{base}?host={host},{second.partition('?host=')[2]}"


async def test_a_broken_certificate_file_is_reported(tmp_path: Path) -> None:
    broken = tmp_path / "ca.crt"
    broken.write_text("no certificate")
    address = read_address(f"postgresql://u@h/d?sslmode=verify-full&sslrootcert={broken}")
    with pytest.raises(CannotConnect, match="TLS"):
        await address.connect(seconds=5, application="zenskar")
