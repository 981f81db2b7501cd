"""Check a plugin with the conformance kit, and report the verdicts."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from zenskar.errors import ConfigurationError, InvalidInput
from zenskar.plugins.base import BaseIntegration
from zenskar.plugins.connection_settings import missing_settings
from zenskar.plugins.discovery import Plugin, discover

if TYPE_CHECKING:
    from zenskar.testing import CapabilityVerdict, CheckVerdict


@dataclass(frozen=True, slots=True)
class PluginReport:
    """The verdicts on a plugin; `case` names its test class, None without one."""

    plugin: str
    case: str | None
    checks: Sequence["CheckVerdict"]
    capabilities: Sequence["CapabilityVerdict"]

    columns: ClassVar[Mapping[str, str]] = {
        "capability": "CAPABILITY",
        "outcome": "VERDICT",
        "passed": "PASSED",
        "failed": "FAILED",
        "not_offered": "NOT OFFERED",
    }

    @property
    def failed(self) -> int:
        """Return the number of failed checks."""
        return self._count("failed")

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each capability."""
        return [
            {
                "capability": each.capability,
                "outcome": each.outcome.value,
                "passed": self._count("passed", each.capability),
                "failed": self._count("failed", each.capability),
                "not_offered": self._count("not offered", each.capability),
            }
            for each in self.capabilities
        ]

    def lines(self) -> list[str]:
        """Return the reason of each check that did not pass, and a summary."""
        reasons = [
            f"{each.outcome.value}: {each.capability}, {each.check}: {each.reason}"
            for each in self.checks
            if each.reason
        ]
        missing = self._count("not offered")
        summary = f"{len(self.checks)} checks: {self._count('passed')} passed"
        return ["", *reasons, "", f"{summary}, {self.failed} failed, {missing} not offered"]

    def to_json(self) -> dict[str, Any]:
        """Return the verdicts of the capabilities and of the checks."""
        checks = [
            {
                "check": each.check,
                "capability": each.capability,
                "outcome": each.outcome.value,
                "reason": each.reason or None,
            }
            for each in self.checks
        ]
        rows = self.rows()
        return {"plugin": self.plugin, "case": self.case, "capabilities": rows, "checks": checks}

    def write_junit(self, path: Path) -> None:
        """Write the verdicts as JUnit XML. Raises `ConfigurationError` when it cannot."""
        from zenskar.testing.junit import write_junit

        try:
            write_junit(path, f"zenskar plugins check {self.plugin}", self.checks)
        except OSError as error:
            raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error

    def _count(self, outcome: str, capability: str | None = None) -> int:
        return sum(
            each.outcome.value == outcome and capability in (None, each.capability)
            for each in self.checks
        )


def check_plugin(
    name: str, environment: Mapping[str, str], *, case: str | None = None, url: str | None = None
) -> PluginReport:
    """Run every check of the kit on an installed plugin.

    Raises `InvalidInput` for an unknown plugin, and `ConfigurationError` without the extra
    `testing`, without a required setting or for a test class that cannot be used.
    """
    if any(importlib.util.find_spec(each) is None for each in ("pytest", "hypothesis")):
        raise ConfigurationError("the checks need pip install 'zenskar[testing]'")
    from zenskar.testing import by_capability, judge
    from zenskar.testing.plugin_check import against, load_case, own_settings, without_case

    plugin, integration = _installed(name)
    given = own_settings(integration, environment, name)
    found = chosen = load_case(case, integration, Path.cwd())
    if chosen is None:
        _require_settings(plugin, environment)
        chosen = without_case(integration, given)
    if url is not None:
        chosen = against(chosen, url, given)
    verdicts = judge(chosen)
    used = f"{found.__module__}:{found.__qualname__}" if found else None
    return PluginReport(name, used, verdicts, by_capability(verdicts))


def _installed(name: str) -> tuple[Plugin, type[BaseIntegration]]:
    plugin = discover().get(name)
    if plugin is None:
        raise InvalidInput(f"there is no plugin {name}: see zenskar plugins list")
    if plugin.integration is None:
        raise InvalidInput(f"the plugin {name} {plugin.problem or 'has broadcast hooks only'}")
    return plugin, plugin.integration


def _require_settings(plugin: Plugin, environment: Mapping[str, str]) -> None:
    if missing := missing_settings(plugin, plugin.name, environment):
        raise ConfigurationError(
            f"without a test class the checks need the settings {', '.join(missing)}: set them, "
            "or pass --case MODULE:CLASS"
        )
