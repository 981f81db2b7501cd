"""Every hook has a caller in the core and an implementation in a test."""

import re
from collections.abc import Collection
from pathlib import Path

import pytest

import zenskar
from zenskar.plugins.base import HOOKS

CORE, TESTS = Path(zenskar.__file__).parent, Path(__file__).parents[1]
DECLARED = {CORE / "plugins" / "base.py"}


def found(pattern: str, folder: Path, without: Collection[Path] = ()) -> bool:
    files = (path for path in folder.rglob("*.py") if path not in without)
    return any(re.search(pattern, path.read_text(encoding="utf-8")) for path in files)


@pytest.mark.parametrize("hook", HOOKS)
def test_the_core_calls_the_hook(hook: str) -> None:
    assert found(rf'"{hook}"|\.{hook}\(', CORE, without=DECLARED)


@pytest.mark.parametrize("hook", HOOKS)
def test_an_integration_of_the_tests_implements_the_hook(hook: str) -> None:
    assert found(rf"def {hook}\(", TESTS)
