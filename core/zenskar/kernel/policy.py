"""Who wins when both sides changed one field since the base (rule 9)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from zenskar.model.fields import name_of


class ConflictPolicy(StrEnum):
    """How a conflict over one field is settled."""

    INTERNAL_WINS = "internal_wins"
    EXTERNAL_WINS = "external_wins"
    LATEST_WINS = "latest_wins"


class Side(StrEnum):
    """The two sides of a mapping."""

    INTERNAL = "internal"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True)
class MergePolicy:
    """A connection's conflict policy, with exceptions by top-level field name.

    >>> policy = MergePolicy(per_field={"metadata": ConflictPolicy.EXTERNAL_WINS})
    >>> policy.of("/email").value, policy.of("/metadata/plan").value
    ('internal_wins', 'external_wins')
    """

    default: ConflictPolicy = ConflictPolicy.INTERNAL_WINS
    per_field: Mapping[str, ConflictPolicy] = field(default_factory=dict)

    @property
    def compares_clocks(self) -> bool:
        """Whether the time of an edit decides about any field."""
        return ConflictPolicy.LATEST_WINS in {self.default, *self.per_field.values()}

    def of(self, path: str) -> ConflictPolicy:
        """Return the policy for a leaf."""
        return self.per_field.get(name_of(path), self.default)


class Ground(StrEnum):
    """What settles a conflict where no policy is asked."""

    REWRITTEN = "rewritten"
    """The external system keeps another value than it was sent; to send it again never ends."""
    OWN_PUSH = "own_push"
    """A push of ours without an answer wrote this value; nobody told whether somebody else did."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """One field that both sides changed: all three values, who won and why."""

    path: str
    base: Any
    internal: Any
    external: Any
    winner: Side
    policy: ConflictPolicy | Ground
