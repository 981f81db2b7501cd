"""The wheels, installed where there is no checkout."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import Running, ada, ask, customers, empty_folder, environment, until

ROOT = Path(__file__).parents[2]
PROJECTS = (ROOT, ROOT / "plugins" / "stripe")
UV = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))


def execute(*command: str | Path, cwd: Path, variables: Mapping[str, str] | None = None) -> str:
    """Run a command; fail with its output."""
    done = subprocess.run(
        command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed() -> Iterator[Path]:
    """Build the wheels as `make build` does, and install them into an empty environment."""
    with empty_folder() as folder:
        yield _install(folder)


def _install(folder: Path) -> Path:
    for project in PROJECTS:
        command = (sys.executable, "-m", "build", "--installer", "uv", "--wheel")
        execute(*command, "-o", folder / "dist", project, cwd=folder)
    core, stripe = sorted((folder / "dist").glob("*.whl"))
    venv = folder / "venv"
    execute(UV, "venv", "-q", "--python", sys.executable, venv, cwd=folder)
    execute(
        *(UV, "pip", "install", "-q", "--python", venv / "bin" / "python"),
        *("-c", ROOT / "constraints.txt", f"{core}[embedded]", stripe),
        cwd=folder,
    )
    return venv / "bin" / "zenskar"


def test_they_hold_everything_that_is_needed(installed: Path) -> None:
    home = installed.parents[2] / "home"
    home.mkdir()

    def zenskar(*arguments: str) -> Any:
        command = (installed, *arguments, "--output", "json")
        return json.loads(execute(*command, cwd=home, variables=environment()))

    (plugin,) = zenskar("plugins", "list")["data"]
    assert (plugin["name"], plugin["problem"]) == ("stripe", None)
    assert zenskar("migrate")["up_to_date"]

    dev = Running((str(installed), "dev", "--output", "json"), home, {"ZENSKAR_PORT": "0"})
    try:
        ready = dev.ready()
        api, sandbox = ready["api"], ready["sandboxes"]["stripe"]
        assert ask(f"{api}/customers", ada())[0] == 201
        ask(f"{sandbox}/_sandbox/customers", {"name": "Grace", "email": "grace@example.com"})
        until(lambda: _both_ways(api))
    finally:
        code = dev.stop()
    assert code == 0, dev.stderr


def _both_ways(api: str) -> bool:
    found = customers(api)
    return {"Ada", "Grace"} == {n for n, c in found.items() if c["external"][0]["in_sync"]}
