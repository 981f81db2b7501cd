"""A plugin from `zenskar plugins new`, where only wheels are installed."""

import asyncio
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pytest

from tests.cli.processes import Running, ada, ask, customers, empty_folder, environment, until
from tests.packaging.building import ROOT, build, execute, install
from tests.packaging.conftest import Environment

T = TypeVar("T")


@dataclass(frozen=True)
class NewPlugin:
    """The folder of the new distribution, and the programs beside its installed wheel."""

    folder: Path
    programs: Path

    def run(self, program: str, *arguments: str) -> str:
        variables = environment(PYTHONDONTWRITEBYTECODE="1")
        command = (self.programs / program, *arguments)
        return execute(*command, cwd=self.folder, variables=variables, seconds=250)


@pytest.fixture(scope="module")
def plugin(author: Environment) -> Iterator[NewPlugin]:
    """Make a plugin with the installed core, then build and install it."""
    with empty_folder() as folder:
        execute(author.programs / "zenskar", "plugins", "new", "acme_crm", cwd=folder)
        made = NewPlugin(folder / "zenskar-acme-crm", author.programs)
        install(author.folder, build(made.folder, folder / "dist"))
        yield made


def listed(plugin: NewPlugin) -> dict[str, dict[str, Any]]:
    found = json.loads(plugin.run("zenskar", "plugins", "list", "--output", "json"))["data"]
    return {each["name"]: each for each in found}


def test_it_is_found_and_names_its_settings(plugin: NewPlugin) -> None:
    found = listed(plugin)["acme_crm"]
    assert found["problem"] is None
    assert found["distribution"] == "zenskar-acme-crm"
    required = ["ACME_CRM_API_BASE", "ACME_CRM_API_KEY", "ACME_CRM_WEBHOOK_SECRET"]
    assert found["missing"] == required


def test_the_examples_are_distributions_too(plugin: NewPlugin, author: Environment) -> None:
    folders = sorted(path.parent for path in ROOT.glob("examples/*/pyproject.toml"))
    install(
        author.folder, *(build(folder, author.wheels.folder / folder.name) for folder in folders)
    )
    found = listed(plugin)
    for folder in folders:
        assert found[folder.name]["problem"] is None
        assert found[folder.name]["distribution"] == f"zenskar-{folder.name}"


def test_its_look_alike_prints_the_settings(plugin: NewPlugin) -> None:
    command = (str(plugin.programs / "python"), "-m", "tests.crm")
    crm = Running(command, plugin.folder, {})
    try:
        until(lambda: crm.stdout.count("\n") == 3)
        assert crm.stdout.startswith("ACME_CRM_API_BASE=http://127.0.0.1:")
    finally:
        crm.stop()


async def test_a_customer_travels_both_ways_through_zenskar_dev(plugin: NewPlugin) -> None:
    home = plugin.folder.parent / "home"
    home.mkdir()
    async with look_alike(plugin.folder).Crm() as crm:
        settings = {f"ACME_CRM_{name.upper()}": value for name, value in crm.settings.items()}
        command = (str(plugin.programs / "zenskar"), "dev", "--output", "json")
        dev = Running(command, home, {"ZENSKAR_PORT": "0", **settings})
        try:
            api = (await asyncio.to_thread(dev.ready))["api"]
            crm.send_webhooks_to(f"{api}/webhooks/acme_crm")
            assert (await asyncio.to_thread(ask, f"{api}/customers", ada()))[0] == 201
            crm.add(full_name="Grace", email="grace@example.com")
            await wait(lambda: both_ways(api))
            assert {each["full_name"] for each in crm.contacts.values()} == {"Ada", "Grace"}
        finally:
            code = await asyncio.to_thread(dev.stop)
    assert code == 0, dev.stderr


def look_alike(folder: Path) -> ModuleType:
    """Return the module of the new plugin's CRM."""
    spec = importlib.util.spec_from_file_location("acme_crm_look_alike", folder / "tests/crm.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def both_ways(api: str) -> bool:
    found: dict[str, Any] = customers(api)
    synced = {name for name, each in found.items() if each["external"][0]["in_sync"]}
    return synced == {"Ada", "Grace"}


async def wait(check: Callable[[], T]) -> None:
    """Wait in a thread, so that the CRM answers meanwhile."""
    await asyncio.to_thread(until, check)
