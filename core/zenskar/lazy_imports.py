"""Imports of libraries without what they would load and nobody here uses: it stays in memory."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

__all__ = ["absent", "import_inside"]


@contextmanager
def absent(*names: str) -> Iterator[None]:
    """Have modules that a library can do without seem not installed while it is imported.

    None in `sys.modules` does that: https://docs.python.org/3/reference/import.html#the-module-cache
    """
    hidden: dict[str, Any] = {name: None for name in names if name not in sys.modules}
    sys.modules.update(hidden)
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def import_inside(package: str, module: str) -> ModuleType:
    """Import a module of a package without what the package itself would import.

    Who imports the package later gets it whole, and the same module in it.
    """
    name = f"{package}.{module}"
    spec = importlib.util.find_spec(package)
    if package in sys.modules or spec is None:
        return importlib.import_module(name)
    sys.modules[package] = importlib.util.module_from_spec(spec)
    try:
        return importlib.import_module(name)
    finally:
        del sys.modules[package]
