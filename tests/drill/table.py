"""The table of the drill."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_HEAD = (
    "fault",
    "first sign",
    "alert (seconds)",
    "others",
    "healed by",
    "silent",
    "lost",
    "doubled",
)


@dataclass(frozen=True)
class Row:
    """A fault as it went. `seconds` led to its alert, `silent_seconds` from its end to silence."""

    fault: str
    sign: str
    alert: str
    seconds: float | None
    healed: str
    silent_seconds: float
    lost: int
    doubled: int
    others: list[str] = field(default_factory=list)

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the table."""
        alert = f"{self.alert} ({self.seconds:.0f} s)" if self.seconds is not None else "none"
        return (
            self.fault,
            self.sign,
            alert,
            ", ".join(self.others) or "none",
            self.healed,
            f"{self.silent_seconds:.0f} s",
            str(self.lost),
            str(self.doubled),
        )


rows: list[Row] = []
"""A row for each fault, in the order of the run."""


def lines(made: Iterable[Row]) -> Iterator[str]:
    """Yield the table in Markdown."""
    yield _line(_HEAD)
    yield _line("---" for _ in _HEAD)
    for row in made:
        yield _line(row.cells())


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
