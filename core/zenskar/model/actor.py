"""Who asks for a change."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, and from where."""

    name: str
    place: str

    def __str__(self) -> str:
        return f"{self.name} from {self.place}"

    @property
    def detail(self) -> dict[str, str]:
        """This as it goes into the history."""
        return {"by": self.name, "from": self.place}
