"""A server loads what it uses: every other library would stay in its memory for good."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.processes import environment

UNUSED = {
    *("alembic", "mako", "aiokafka", "cramjam"),  # a migration, and Kafka, which is not configured
    *("jsonschema", "referencing", "rpds"),  # what explains a refusal
    *("typer", "pydantic", "pydantic_core"),  # the command line
}
COMMAND_LINE = {"main", "servers", "errors", "session", "process", "data_folder"}
SERVE = """
import json, os, signal, sys
from zenskar.cli import main, servers

def ready(what, address):
    print(json.dumps(sorted(sys.modules)), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

servers.{server}(ready)
"""


@pytest.mark.parametrize("server", ["api", "worker"])
def test_a_server_loads_what_it_uses(server: str, database_url: str, tmp_path: Path) -> None:
    done = subprocess.run(
        (sys.executable, "-c", SERVE.format(server=server)),
        cwd=tmp_path,
        env=environment(
            ZENSKAR_DATABASE_URL=database_url,
            ZENSKAR_PORT="0",
            ZENSKAR_WORKER_HEALTH_PORT="0",
            ZENSKAR_CONNECTIONS="stripe",
            STRIPE_API_KEY="sk_test_1",
            STRIPE_WEBHOOK_SECRET="whsec_1",
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    assert not UNUSED & {*loaded, *(name.partition(".")[0] for name in loaded)}
    prefix = "zenskar.cli."
    assert {name.removeprefix(prefix) for name in loaded if name.startswith(prefix)} == COMMAND_LINE
