"""The number of calls that an external system allows, and the calls that were made."""

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

DAY_SECONDS = 86_400.0


class Purpose(StrEnum):
    """The purpose of a call: when few calls are left, pushes go first and backfills stop first."""

    PUSH = "push"
    READ = "read"
    BACKFILL = "backfill"


PURPOSES = MappingProxyType(
    {
        "push": Purpose.PUSH,
        "push_many": Purpose.PUSH,
        "find": Purpose.PUSH,
        "account": Purpose.PUSH,
        "fetch": Purpose.READ,
        "fetch_many": Purpose.READ,
        "changes": Purpose.READ,
        "list_page": Purpose.BACKFILL,
    }
)
"""The hooks whose calls count towards limits, with their usual purpose."""


@dataclass(frozen=True, slots=True)
class CallLimit:
    """At most `calls` calls in any period of `seconds`, by all hooks or by those of `hooks`.

    `name` names an endpoint, which a `Failure` of kind `RATE_LIMITED` may name as its `limit`.
    Limits of one name with different periods hold together.
    """

    name: str = ""
    calls: int = field(kw_only=True)
    seconds: float = field(kw_only=True)
    hooks: tuple[str, ...] = field(default=(), kw_only=True)

    def counts(self, hook: str) -> bool:
        """Return whether the calls of a hook count towards this limit."""
        return hook in PURPOSES and (not self.hooks or hook in self.hooks)

    @property
    def daily(self) -> bool:
        """Whether this is the limit of all calls in a day, which a setting may replace."""
        return self.seconds == DAY_SECONDS and not self.name and not self.hooks

    def __str__(self) -> str:
        """Return the limit in words."""
        return f"{self.calls} calls{f' of {self.name}' if self.name else ''} in {self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class Usage:
    """The calls of a period as the external system counts them, of all applications together.

    `limit` is the name of the call limit; the count is about its longest period. `calls` is the
    limit that the external system states, None for the declared one. `resets_in` is the number of
    seconds until the system counts anew, None when calls expire one after another.
    """

    used: int
    calls: int | None = None
    limit: str = ""
    resets_in: float | None = None
