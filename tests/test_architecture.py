"""The rules of the architecture, as tests."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import zenskar

ROOT = Path(__file__).parents[1]
CORE = ROOT / "core" / "zenskar"
MODULES = sorted(CORE.rglob("*.py"))
PACKAGES = sorted(path.parent for path in MODULES if path.name == "__init__.py")
MOST_ENTRIES = 25
MARKS = {"__pycache__", "py.typed"}
"""Entries of a folder that nobody reads."""
TOOLKIT = ("zenskar.fields", "zenskar.http", "zenskar.http.lookalike", "zenskar.webhooks")
"""The modules that a plugin may import besides `zenskar`."""

EXAMPLES = sorted(path.parent for path in ROOT.glob("examples/*/pyproject.toml"))
PLUGINS = [*sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml")), *EXAMPLES]

SHARED_FILE_NAMES = {
    # The same thing in several layers: its table, its service, its route, its command.
    *("backfill", "connections", "customers", "dead_letters", "erase", "mappings", "metrics"),
    *("audit", "doctor", "erasures", "keys", "migrate", "recover", "recovery", "runs"),
    *("events", "sync_events", "timeline"),
    # A part that several packages have, named by the package.
    *("app", "bus", "errors", "records", "service"),
}
"""File names that two packages may have. `bus/postgres/bus.py`: the folder says which."""


def test_imports_point_downwards() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        (linter, "--config", ROOT / "pyproject.toml"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_all_names_exactly_what_is_exported() -> None:
    exported = {
        name
        for name, value in vars(zenskar).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert sorted(exported) == sorted(zenskar.__all__)


@pytest.mark.parametrize("name", [*TOOLKIT, "zenskar.testing"])
def test_all_names_exactly_what_the_toolkit_exports(name: str) -> None:
    module = importlib.import_module(name)
    assert {
        each for each in vars(module) if each[0] != "_" and each not in submodules(name)
    } == set(module.__all__)


def test_the_toolkit_is_loaded_on_request_only() -> None:
    """An integration without HTTP of its own must not wait for an HTTP client."""
    code = "import sys, zenskar; print(*sys.modules)"
    done = subprocess.run(
        (sys.executable, "-c", code), capture_output=True, text=True, timeout=110, check=True
    )
    loaded = set(done.stdout.split())
    assert "zenskar.plugins.base" in loaded
    unwanted = {"zenskar.testing", "pytest", "hypothesis", "aiohttp", "sqlalchemy", "aiokafka"}
    assert not loaded & {*TOOLKIT, *unwanted}


def test_a_plugin_may_import_nothing_but_the_public_modules() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = [
        each
        for each in contracts["contracts"]
        if each["name"] == "A plugin uses the public API only"
    ]
    private = {f"zenskar.{path.stem}" for path in CORE.iterdir() if path.stem[0] != "_"}
    private -= {*TOOLKIT, "zenskar.py", "zenskar.testing"}
    assert set(contract["forbidden_modules"]) == private


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_imports_the_public_packages_themselves(folder: Path) -> None:
    """A module inside of a public package is private."""
    public = {"zenskar", *TOOLKIT}
    modules = (folder / f"zenskar_{folder.name}").rglob("*.py")
    assert {name for path in modules for name in imported(path)} - public == set()


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_tested_with_the_kit_alone(folder: Path) -> None:
    public = {"zenskar", "zenskar.testing", *TOOLKIT}
    used = {name for path in (folder / "tests").glob("*.py") for name in imported(path)}
    assert used - public == set()
    assert "zenskar.testing" in used
    (entry,) = project_of(folder)["entry-points"]["zenskar.plugins"].items()
    module, _, name = entry[1].partition(":")
    assert (entry[0], module) == (folder.name, f"zenskar_{folder.name}")
    assert issubclass(getattr(importlib.import_module(module), name), zenskar.BaseIntegration)


def test_the_core_names_no_plugin() -> None:
    """A name in the code would be a special case, whether it is imported or not."""
    # `template` is also just a word.
    plugins = {entry.name for entry in entry_points(group="zenskar.plugins")} - {"template"}
    assert "stripe" in plugins
    named = {
        f"{path.relative_to(CORE)}: {text}"
        for path in CORE.rglob("*.py")
        for text in strings_and_names(path)
        for plugin in plugins
        if plugin in re.split(r"[^a-z]+", text.lower())
    }
    assert named == set()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(CORE)))
def test_a_package_has_tests_in_the_folder_of_the_same_path(package: Path) -> None:
    tests = ROOT / "tests" / package.relative_to(CORE)
    if package != CORE:
        assert list(tests.glob("test_*.py")), f"{tests.relative_to(ROOT)} has no tests"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(CORE)))
def test_a_folder_can_be_read_at_a_glance(package: Path) -> None:
    entries = [path for path in package.iterdir() if path.name not in MARKS]
    assert len(entries) <= MOST_ENTRIES


def test_a_class_name_exists_once() -> None:
    assert shared(classes()) == set()


def test_a_file_name_exists_once_unless_the_folder_distinguishes_it() -> None:
    files = ((path.stem, str(path.parent)) for path in MODULES if path.name != "__init__.py")
    assert shared(files) <= SHARED_FILE_NAMES


def imported(path: Path) -> Iterator[str]:
    """Yield the modules of zenskar that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        yield from (name for name in names if name.partition(".")[0] == "zenskar")


def project_of(folder: Path) -> dict[str, Any]:
    """Return the project table of a distribution."""
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    project: dict[str, Any] = tomllib.loads(text)["project"]
    return project


def submodules(package: str) -> set[str]:
    """Return the names of the modules in a package."""
    return {
        module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__)
    }


def classes() -> Iterator[tuple[str, str]]:
    """Yield every class of the core and its module."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield node.name, str(path)


def shared(names: Iterator[tuple[str, str]]) -> set[str]:
    """Return the names that exist in more than one place."""
    places = defaultdict(set)
    for name, place in names:
        places[name].add(place)
    return {name for name, found in places.items() if len(found) > 1}


def strings_and_names(path: Path) -> set[str]:
    """Return the names and the texts of a module, without its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return found | {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
    }
