"""A started server stays well below its memory limit."""

import sys
from pathlib import Path

import pytest

from tests.cli.processes import ZENSKAR, Running

MOST_MB = 128


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("server", ["api", "worker"])
def test_resident_memory_after_start(server: str, database_url: str, tmp_path: Path) -> None:
    variables = {
        "ZENSKAR_DATABASE_URL": database_url,
        "ZENSKAR_PORT": "0",
        "ZENSKAR_WORKER_HEALTH_PORT": "0",
        "ZENSKAR_CONNECTIONS": "stripe",
        "STRIPE_API_KEY": "sk_test_1",
        "STRIPE_WEBHOOK_SECRET": "whsec_1",
    }
    running = Running((*ZENSKAR, server, "--output", "json"), tmp_path, variables)
    try:
        running.ready()
        assert resident_mb(running.process.pid) < MOST_MB
    finally:
        running.stop()


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB of 2^20 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"process {pid} has no resident memory")
