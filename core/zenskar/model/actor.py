"""The actor of a change."""

from dataclasses import dataclass

from zenskar.model.history_detail import HistoryDetail


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or an API key that asks for a change, and the place of the request."""

    name: str
    place: str

    def __str__(self) -> str:
        return f"{self.name} from {self.place}"

    @property
    def detail(self) -> HistoryDetail:
        """The members of a history entry that name this actor."""
        return {"by": self.name, "from": self.place}
