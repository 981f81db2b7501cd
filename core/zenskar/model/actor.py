"""The actor of a change."""

from dataclasses import dataclass

from zenskar.errors import InvalidInput
from zenskar.model.history_detail import HistoryDetail

_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or an API key that asks for a change, and the place of the request.

    `reason` is the actor's own text for the audit.
    """

    name: str
    place: str
    reason: str | None = None

    def __str__(self) -> str:
        return f"{self.name} from {self.place}"

    @property
    def detail(self) -> HistoryDetail:
        """The members of a history entry that name this actor."""
        return {"by": self.name, "from": self.place}


def check_reason(text: str | None) -> str | None:
    """Return the reason of an action without outer space, None for an empty text.

    Raises `InvalidInput` unless the text is a line of at most 500 characters.
    """
    found = (text or "").strip()
    if len(found) > _LONGEST_REASON or not found.isprintable():
        raise InvalidInput(f"a reason must be one line of at most {_LONGEST_REASON} characters")
    return found or None
