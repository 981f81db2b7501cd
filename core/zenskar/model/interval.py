"""When an external object had a state, on the external clock: never an instant."""

from dataclasses import dataclass

MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """Both ends inclusive, in microseconds since the Unix epoch."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"interval ends before it starts: {self.low} > {self.high}")

    @classmethod
    def of_second(cls, second: int) -> "Interval":
        """The interval that a clock of second precision means by `second`."""
        return cls(second * MICROSECONDS, (second + 1) * MICROSECONDS - 1)
