"""The scopes of API keys."""

from enum import StrEnum


class Scope(StrEnum):
    """Rights of an API key; each includes those before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def covers(self, other: "Scope") -> bool:
        """Return whether this scope includes another scope."""
        order = list(Scope)
        return order.index(self) >= order.index(other)
