"""The wheels of this repository, and an environment in which only they are installed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.processes import empty_folder
from tests.packaging.building import ROOT, build, install


@dataclass(frozen=True)
class Wheels:
    """A folder with the wheel of the core, and room for others."""

    folder: Path
    core: Path


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the core and its conformance kit."""

    folder: Path
    wheels: Wheels

    @property
    def programs(self) -> Path:
        return self.folder / "bin"


@pytest.fixture(scope="session")
def wheels() -> Iterator[Wheels]:
    with empty_folder() as folder:
        yield Wheels(folder, build(ROOT, folder))


@pytest.fixture(scope="session")
def author(wheels: Wheels) -> Iterator[Environment]:
    """The environment of an author of plugins."""
    with empty_folder() as folder:
        install(folder / "venv", f"{wheels.core}[embedded,testing]", "pytest-asyncio")
        yield Environment(folder / "venv", wheels)
