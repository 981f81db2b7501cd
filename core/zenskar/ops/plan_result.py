"""The result of applying a plan: every step is made, done before, or skipped with the reason."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class SkippedStep:
    """A step that was not made, and the change that prevents it."""

    kind: str
    external_id: str | None
    record_id: str | None
    why: str


@dataclass(slots=True)
class PlanResult:
    """The number of steps by their result, and the steps that were not made.

    `queued` steps wait until the connection is resumed. `problem` says why the run has stopped.
    """

    source: str
    entity_type: str
    steps: int
    done: int = 0
    already_done: int = 0
    queued: int = 0
    skipped: list[SkippedStep] = field(default_factory=list)
    problem: str | None = None

    def skip(self, kind: str, external_id: str | None, record_id: str | None, why: str) -> None:
        """Add a step that was not made."""
        self.skipped.append(SkippedStep(kind, external_id, record_id, why))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)
