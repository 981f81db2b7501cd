"""The examples in docstrings run and give the results that they show."""

import doctest
import importlib
from pathlib import Path

import pytest

CORE = Path(__file__).parents[1] / "core"
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(CORE).with_suffix("").parts)
    for path in CORE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


def test_the_central_types_have_an_example() -> None:
    assert {
        "zenskar.kernel.policy",
        "zenskar.model.fields",
        "zenskar.sync.resilience.retry",
    } <= set(WITH_EXAMPLES)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed
