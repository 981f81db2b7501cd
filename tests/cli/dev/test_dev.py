"""`zenskar dev`, as a new user runs it."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli, Start
from tests.cli.processes import ada, ask, customers, until
from zenskar.db.driver.embedded_state import server_process

FREE_PORT = {"ZENSKAR_PORT": "0"}
STOPPED_WITHIN = 10.0


def in_sync(api: str, *names: str) -> dict[str, dict[str, Any]] | None:
    """Return the customers once these are equal on both sides."""
    found = customers(api)
    good = all(n in found and found[n]["external"][0]["in_sync"] for n in names)
    return found if good else None


def sandbox_names(folder: Path, url: str) -> set[str]:
    """Ask the sandbox itself, with the key that it has kept."""
    (file,) = folder.glob("sandbox/stripe/*credentials*.json")
    key = json.loads(file.read_text())["api_key"]
    _, found = ask(f"{url}/v1/customers", headers={"Authorization": f"Bearer {key}"})
    return {customer["name"] for customer in found["data"]}


def paste(line: str) -> None:
    """Do what the line does in a shell; a machine without curl has its words read as curl would."""
    if shutil.which("curl"):
        subprocess.run(("sh", "-c", f"{line} --fail"), check=True, capture_output=True)
        return
    command, quiet, url, *options = shlex.split(line)
    assert (command, quiet) == ("curl", "-sS")
    given = dict(zip(options[::2], options[1::2], strict=True))
    header, _, value = given.pop("-H", "").partition(": ")
    body = json.loads(given.pop("-d", "null"))
    assert given == {}
    status, _ = ask(url, body, headers={header: value} if header else {})
    assert status < 300


def test_what_it_prints_works_and_outlives_a_restart(
    start: Start, cli: Cli, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    dev = start("dev", **FREE_PORT)
    block = dev.ready_text()
    api, sandbox = (re.findall(rf"{name} +(http\S+)", block)[0] for name in ("API", "Sandbox"))
    lines = [line for line in block.splitlines() if line.strip().startswith("curl ")]
    for line in lines:
        paste(line)
    before = until(lambda: in_sync(api, "Ada Lovelace", "Grace Hopper"))
    folder = home / ".zenskar"
    assert sandbox_names(folder, sandbox) == {"Ada Lovelace", "Grace Hopper"}
    for page in ("docs", "console"):
        with urllib.request.urlopen(f"{api}/{page}", timeout=10) as response:
            assert response.status == 200
    assert "is ready" not in dev.stderr
    assert "Warning" not in dev.stderr + block

    # Other commands, in the same folder, meanwhile.
    monkeypatch.setenv("ZENSKAR_PORT", api.rpartition(":")[2])
    assert cli.json("doctor")["ok"]
    assert [row["name"] for row in cli.json("connections", "list")["data"]] == ["stripe"]
    assert len(cli.json("events", "list")["data"]) >= 2
    assert cli.json("reconcile", "stripe", "--settle", "0")["data"][0]["complete"]
    second = cli("dev", "--port", "0", code=1)
    assert second.startswith(f"error: another zenskar dev (process {dev.process.pid})")
    assert len(second.splitlines()) == 1

    started = time.monotonic()
    assert dev.stop(signal.SIGINT) == 0
    assert time.monotonic() - started < STOPPED_WITHIN
    assert not (folder / "postgres" / "postmaster.pid").exists()
    assert "Traceback" not in dev.stderr

    again = start("dev", "--output", "json", **FREE_PORT)
    ready = again.ready()
    after = customers(ready["api"])
    assert {n: c["id"] for n, c in after.items()} == {n: c["id"] for n, c in before.items()}
    assert sandbox_names(folder, ready["sandboxes"]["stripe"]) == set(before)
    status, _ = ask(f"{ready['api']}/customers", ada(name="Third"))
    assert status == 201
    until(lambda: in_sync(ready["api"], "Third"))
    ask(f"{ready['sandboxes']['stripe']}/_sandbox/customers", {"name": "Fourth"})
    until(lambda: in_sync(ready["api"], "Fourth"))
    assert again.stop(signal.SIGTERM) == 0


def test_a_killed_one_leaves_nothing_behind_and_fresh_begins_anew(start: Start, home: Path) -> None:
    dev = start("dev", "--output", "json", **FREE_PORT)
    ask(f"{dev.ready()['api']}/customers", ada())
    dev.process.kill()
    dev.process.wait()
    postmaster = home / ".zenskar" / "postgres" / "postmaster.pid"
    assert postmaster.exists()

    again = start("dev", "--output", "json", **FREE_PORT)
    assert set(customers(again.ready()["api"])) == {"Ada"}
    assert again.stop() == 0
    assert not postmaster.exists()

    (home / ".zenskar" / "notes.txt").write_text("mine")
    fresh = start("dev", "--output", "json", "--fresh", **FREE_PORT)
    assert customers(fresh.ready()["api"]) == {}
    assert fresh.stop() == 0
    assert (home / ".zenskar" / "notes.txt").exists()


def test_a_taken_port_is_said_before_anything_is_started(cli: Cli, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = cli("dev", "--port", str(port), code=1)
    assert said.startswith(f"error: port {port} ")
    assert "--port" in said
    assert len(said.splitlines()) == 1
    assert not (home / ".zenskar" / "postgres").exists()


def test_on_a_database_of_ones_own_and_the_real_system(
    start: Start, database_url: str, home: Path
) -> None:
    dev = start(
        "dev",
        "--output",
        "json",
        ZENSKAR_DATABASE_URL=database_url,
        ZENSKAR_HOST="0.0.0.0",
        STRIPE_API_KEY="sk_test_do_not_show_me",
        STRIPE_WEBHOOK_SECRET="whsec_do_not_show_me",
        STRIPE_API_BASE="http://127.0.0.1:9",
        **FREE_PORT,
    )
    ready = dev.ready()
    assert (ready["sandboxes"], ready["connections"]) == ({}, ["stripe"])
    assert ready["api"].startswith("http://127.0.0.1:")
    assert ask(f"{ready['api']}/customers", ada())[0] == 201
    assert dev.stop() == 0
    assert "do_not_show_me" not in dev.stdout + dev.stderr
    assert not (home / ".zenskar" / "postgres").exists()


def test_who_has_a_key_means_the_real_system_even_in_part(start: Start, database_url: str) -> None:
    dev = start(
        "dev", ZENSKAR_DATABASE_URL=database_url, STRIPE_API_KEY="sk_test_half", **FREE_PORT
    )
    block = dev.ready_text()
    assert "stripe is not connected: set STRIPE_WEBHOOK_SECRET" in block
    assert "Sandbox" not in block
    assert dev.stop() == 0


def test_fresh_leaves_a_database_of_ones_own_alone(cli: Cli, database: str) -> None:
    assert "ZENSKAR_DATABASE_URL" in cli("dev", "--fresh", "--port", "0", code=1)


def test_two_connections_of_one_plugin_get_a_sandbox_each(start: Start, database_url: str) -> None:
    dev = start(
        "dev",
        "--output",
        "json",
        ZENSKAR_DATABASE_URL=database_url,
        ZENSKAR_CONNECTIONS="stripe,stripe_eu=stripe",
        **FREE_PORT,
    )
    ready = dev.ready()
    assert set(ready["sandboxes"]) == {"stripe", "stripe_eu"}
    ask(f"{ready['sandboxes']['stripe_eu']}/_sandbox/customers", {"name": "Euro"})

    def everywhere() -> bool:
        found = customers(ready["api"]).get("Euro")
        return bool(found) and all(external["in_sync"] for external in found["external"])

    until(everywhere)
    assert dev.stop() == 0


def test_a_sandbox_on_request_brings_a_customer_to_a_third_place(
    start: Start, database_url: str
) -> None:
    dev = start(
        *("dev", "--output", "json", "--with", "salesforce"),
        ZENSKAR_DATABASE_URL=database_url,
        SALESFORCE_POLL_SECONDS="0.5",
        **FREE_PORT,
    )
    ready = dev.ready()
    assert set(ready["sandboxes"]) == {"stripe", "salesforce"}
    person = {"FirstName": "Grace", "LastName": "Hopper", "Email": "grace@example.com"}
    ask(f"{ready['sandboxes']['salesforce']}/_sandbox/records", person)

    def everywhere() -> bool:
        found = customers(ready["api"]).get("Grace Hopper")
        return bool(found) and [each["in_sync"] for each in found["external"]] == [True, True]

    until(everywhere)
    assert dev.stop() == 0


def test_a_sandbox_that_cannot_start_is_named(cli: Cli, database_url: str) -> None:
    said = cli("dev", "--port", "0", "--with", "nobody", code=1)
    assert "no sandbox starts for nobody" in said


def test_it_recovers_when_its_database_is_killed(start: Start, home: Path) -> None:
    dev = start("dev", "--output", "json", **FREE_PORT)
    api = dev.ready()["api"]
    folder = home / ".zenskar" / "postgres"
    killed = server_process(folder)
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    until(lambda: server_process(folder) not in {None, killed})
    until(lambda: ask(f"{api}/customers", ada(name="After"))[0] == 201)
    until(lambda: in_sync(api, "After"))
    assert dev.stop() == 0
    assert server_process(folder) is None
    assert "Traceback" not in dev.stderr
