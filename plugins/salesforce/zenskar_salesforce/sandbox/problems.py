"""The refusals of the API: a status, and an array of problems with their codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a call: its code, its text, and the fields that it is about."""

    code: str
    message: str
    fields: tuple[str, ...] | None = None

    def shown(self) -> dict[str, Any]:
        """Return the problem as an entry of an answer."""
        entry: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        return entry if self.fields is None else {**entry, "fields": list(self.fields)}


class Refused(Exception):
    """A call that the API refuses."""

    def __init__(self, status: int, *problems: Problem) -> None:
        super().__init__(", ".join(problem.code for problem in problems) or str(status))
        self.status, self.problems = status, problems

    @property
    def body(self) -> list[dict[str, Any]] | None:
        """Return the body of the answer, None for an answer without a body."""
        return [problem.shown() for problem in self.problems] or None


def refused(code: str, message: str, *fields: str, status: int = 400) -> Refused:
    """Return the refusal of a write, which names its fields."""
    return Refused(status, Problem(code, message, fields))


def unknown(message: str = "The requested resource does not exist") -> Refused:
    """Return the refusal of a path or a record that does not exist."""
    return Refused(404, Problem("NOT_FOUND", message))


def deleted() -> Refused:
    """Return the refusal of a call for a record in the recycle bin."""
    return Refused(404, Problem("ENTITY_IS_DELETED", "entity is deleted", ()))
