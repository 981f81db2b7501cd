"""Signals, and what a process does before it serves."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.processes import Running, until
from zenskar.cli import servers
from zenskar.cli.process import freeze_startup_objects
from zenskar.settings import load

SCRIPT = """
import asyncio
from zenskar.cli.process import stop_signals

async def main():
    async with stop_signals() as stopping:
        print("is ready", flush=True)
        await stopping.wait()
        print("stopping", flush=True)
        {after}

asyncio.run(main())
"""


def run(folder: Path, after: str) -> Running:
    running = Running((sys.executable, "-c", SCRIPT.format(after=after)), folder, {})
    running.ready_text()
    return running


def test_one_signal_lets_the_work_finish(tmp_path: Path) -> None:
    running = run(tmp_path, "await asyncio.sleep(0.1); print('finished', flush=True)")
    assert running.stop(signal.SIGINT) == 0
    assert running.stdout.split() == ["is", "ready", "stopping", "finished"]


def test_a_second_signal_cuts_the_work_off(tmp_path: Path) -> None:
    running = run(tmp_path, "await asyncio.sleep(600)")
    running.process.send_signal(signal.SIGINT)
    until(lambda: "stopping" in running.stdout)
    assert running.stop(signal.SIGINT) == 130


def test_work_that_cannot_be_cut_off_is_left_behind(tmp_path: Path) -> None:
    stubborn = "\n        ".join(
        (
            "while True:",
            "    try: await asyncio.sleep(600)",
            "    except asyncio.CancelledError: pass",
        )
    )
    running = run(tmp_path, stubborn)
    running.process.send_signal(signal.SIGTERM)
    until(lambda: "stopping" in running.stdout)
    assert running.stop(signal.SIGTERM) == 130


@pytest.fixture
def collector() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


@pytest.mark.usefixtures("collector")
def test_what_the_start_has_built_is_not_looked_through_again() -> None:
    kept = [[number] for number in range(100)]
    freeze_startup_objects()
    assert gc.get_freeze_count() > len(kept)
    assert not any(kept is known for known in gc.get_objects())


@pytest.mark.usefixtures("collector")
async def test_a_server_spares_the_collector_before_it_is_ready(database_url: str) -> None:
    frozen = []

    def ready(_what: str, _address: str) -> None:
        frozen.append(gc.get_freeze_count())
        gc.unfreeze()
        os.kill(os.getpid(), signal.SIGTERM)

    settings = load({}, database_url=database_url, port=0, worker_health_port=0)
    await servers._api(settings, {}, ready)
    await servers._worker(settings, {}, ("inbound",), ready)
    assert len(frozen) == 2
    assert min(frozen) > 1000
