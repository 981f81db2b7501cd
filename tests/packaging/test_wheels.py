"""The wheels, installed where there is no checkout."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import Running, ada, ask, customers, empty_folder, environment, until
from tests.packaging.building import ROOT, build, execute, install
from tests.packaging.conftest import Wheels


@pytest.fixture(scope="module")
def installed(wheels: Wheels) -> Iterator[Path]:
    """Build the wheels as `make build` does, and install them into an empty environment."""
    with empty_folder() as folder:
        stripe = build(ROOT / "plugins" / "stripe", folder / "dist")
        install(folder / "venv", f"{wheels.core}[embedded]", stripe)
        yield folder / "venv" / "bin" / "zenskar"


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
