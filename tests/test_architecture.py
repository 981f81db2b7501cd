"""The rules of the architecture, as tests."""

import ast
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

import zenskar

ROOT = Path(__file__).parents[1]
CORE = ROOT / "core" / "zenskar"


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
