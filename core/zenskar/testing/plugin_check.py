"""Find the test class of a plugin, and check the plugin without pytest."""

import importlib
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from zenskar.errors import ConfigurationError
from zenskar.plugins.base import BaseIntegration
from zenskar.plugins.connection_settings import variable
from zenskar.settings import lookup
from zenskar.testing.author_part import AuthorPart
from zenskar.testing.conformance import IntegrationConformance

USUAL_CASE = "tests.test_conformance:TestConformance"
"""The class that `zenskar plugins new` makes."""
_NO_CASE = "no test class: pass --case MODULE:CLASS, an IntegrationConformance with this part"


def load_case(
    name: str | None, integration: type[BaseIntegration], folder: Path
) -> type[IntegrationConformance] | None:
    """Return the test class of a plugin in a folder, None without one.

    Without a name, the class that `zenskar plugins new` makes is used if it is there. Raises
    `ConfigurationError` for a class that cannot be loaded or tests another integration.
    """
    wanted = name or USUAL_CASE
    module, _, attribute = wanted.partition(":")
    if name is None and not (folder / f"{module.replace('.', '/')}.py").is_file():
        return None
    case = _loaded(wanted, module, attribute, folder)
    if case.integration is integration:
        return case
    if name is None:
        return None
    raise ConfigurationError(
        f"--case {name} tests {case.integration.__name__}, not {integration.__name__}"
    )


def without_case(
    integration: type[BaseIntegration], given: Mapping[str, str]
) -> type[IntegrationConformance]:
    """Return a test class with the settings of the environment alone."""
    parts = {"integration": integration, "settings": given}
    return cast("type[IntegrationConformance]", type("WithoutCase", (_NoLookAlike,), parts))


def against(
    case: type[IntegrationConformance], url: str, given: Mapping[str, str]
) -> type[IntegrationConformance]:
    """Return a test class that checks a server in place of the look-alike.

    Raises `ConfigurationError` for a class without an `address_setting`.
    """
    name = case.address_setting
    if name is None:
        raise ConfigurationError("--against: the test class has no `address_setting`")
    parts = {"server": {**given, name: url}}
    return cast("type[IntegrationConformance]", type(case.__name__, (_Server, case), parts))


def own_settings(
    integration: type[BaseIntegration], environment: Mapping[str, str], connection: str
) -> dict[str, str]:
    """Return the settings of a connection that the environment has, as texts."""
    names = [setting.name for setting in integration.settings]
    found = {name: lookup(environment, variable(connection, name)) for name in names}
    return {name: text for name, text in found.items() if text is not None}


class _NoLookAlike(IntegrationConformance):
    """Checks a plugin without the parts that its author would give."""

    def external_system(self) -> Any:
        """Skip every check that makes calls."""
        pytest.skip(_NO_CASE)


class _Server(AuthorPart):
    """Runs the checks against a server, which may hold objects of others."""

    server: ClassVar[Mapping[str, str]]

    @asynccontextmanager
    async def external_system(self) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the settings of a connection to the server."""
        yield self.server

    def database(self) -> Any:
        """Skip the checks of a whole runtime, which need an empty system."""
        pytest.skip("--against: a whole runtime needs an empty system")

    async def send_webhooks_to(self, url: str) -> None:  # noqa: ARG002
        """Skip the checks that need the server's webhooks."""
        pytest.skip("--against: the server does not send its webhooks to the check")

    async def lose_changes(self) -> None:
        """Skip the checks that change the server itself."""
        pytest.skip("--against: the server cannot be made to lose its changes")


def _loaded(wanted: str, module: str, attribute: str, folder: Path) -> type[IntegrationConformance]:
    try:
        with _importable(folder):
            case = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"--case {wanted}: {error}") from error
    if isinstance(case, type) and issubclass(case, IntegrationConformance):
        return case
    raise ConfigurationError(f"--case {wanted} is no IntegrationConformance")


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Import from a folder, as `python -m` does."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
