"""The message of `zenskar dev` when everything is ready."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_JSON = "-H 'content-type: application/json'"
_MINE = '{"name": "Ada Lovelace", "email": "ada@example.com"}'


@dataclass(frozen=True, slots=True)
class Ready:
    """The addresses of a ready `zenskar dev`.

    `first_steps`: a command to try on each sandbox; `unconnected`: the missing settings by plugin;
    `problems`: the problems of plugins that cannot be used.
    """

    api: str
    docs: str
    console: str
    sandboxes: Mapping[str, str]
    first_steps: Mapping[str, str]
    connections: tuple[str, ...]
    unconnected: Mapping[str, tuple[str, ...]]
    problems: Mapping[str, str]
    data_dir: Path

    def to_json(self) -> dict[str, Any]:
        """Return the message for programs."""
        return asdict(self) | {"data_dir": str(self.data_dir), "status": "ready"}

    def to_text(self) -> str:
        """Return the message for people."""
        return "\n".join(["", *self._addresses(), *self._notes(), "", *self._first_steps(), ""])

    def _addresses(self) -> list[str]:
        sandboxes = [
            f"  Sandbox  {url}  (stands in for {name})" for name, url in self.sandboxes.items()
        ]
        return [
            "zenskar is ready. Ctrl-C stops it.",
            "",
            f"  Console  {self.console}",
            f"  API      {self.api}",
            f"  Docs     {self.docs}",
            *sandboxes,
            f"  Data     {self.data_dir}",
        ]

    def _notes(self) -> list[str]:
        real = [name for name in self.connections if name not in self.sandboxes]
        lines = [f"{name} is the real system, not a sandbox." for name in real]
        lines += [
            f"{name} is not connected: set {', '.join(missing)}."
            for name, missing in self.unconnected.items()
            if missing
        ]
        lines += [f"{name} cannot be used: {problem}." for name, problem in self.problems.items()]
        return ["", *(f"  {line}" for line in lines)] if lines else []

    def _first_steps(self) -> list[str]:
        where = f"; it appears at {', '.join(self.connections)}" if self.connections else ""
        lines = [
            f"Create a customer{where}:",
            f"  curl -sS {self.api}/customers {_JSON} -d '{_MINE}'",
            "",
        ]
        for name, command in list(self.first_steps.items())[:1]:
            lines += [
                f"Create a customer in the sandbox, as on the dashboard of {name}:",
                f"  {command}",
                "",
            ]
        return [*lines, "See both, and how they were synced:", *self._looks()]

    def _looks(self) -> list[str]:
        return [f"  curl -sS {self.api}/{path}" for path in ("customers", "sync-events")]
