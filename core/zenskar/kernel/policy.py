"""Conflict policies: the side that wins when both sides changed a field (rule 9)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from zenskar.model.fields import name_of


class ConflictPolicy(StrEnum):
    """The rule that decides a conflict over a field."""

    INTERNAL_WINS = "internal_wins"
    EXTERNAL_WINS = "external_wins"
    LATEST_WINS = "latest_wins"


class Side(StrEnum):
    """The two sides of a mapping."""

    INTERNAL = "internal"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True)
class MergePolicy:
    """A connection's conflict policy, with exceptions by the name of a field or by leaf.

    `restores`: a deleted object may be restored, and then its record is undeleted. `join_default`
    and `join_per_field` replace the policy where an object and a record are joined that both
    existed before.

    >>> policy = MergePolicy(per_field={"metadata": ConflictPolicy.EXTERNAL_WINS})
    >>> policy.of("/email").value, policy.of("/metadata/plan").value
    ('internal_wins', 'external_wins')
    """

    default: ConflictPolicy = ConflictPolicy.INTERNAL_WINS
    per_field: Mapping[str, ConflictPolicy] = field(default_factory=dict)
    restores: bool = False
    join_default: ConflictPolicy | None = None
    join_per_field: Mapping[str, ConflictPolicy] = field(default_factory=dict)

    @property
    def compares_clocks(self) -> bool:
        """Whether the time of an edit decides a conflict of any field."""
        return ConflictPolicy.LATEST_WINS in {self.default, *self.per_field.values()}

    def of(self, path: str) -> ConflictPolicy:
        """Return the policy for a leaf: its own, else that of its field, else the default."""
        return self.per_field.get(path) or self.per_field.get(name_of(path), self.default)

    @property
    def for_joins(self) -> "MergePolicy":
        """The policy that joins an object and a record which were never equal."""
        if self.join_default is None:
            return replace(self, per_field={**self.per_field, **self.join_per_field})
        return replace(self, default=self.join_default, per_field=self.join_per_field)


class Ground(StrEnum):
    """The ground that decides a conflict before any policy."""

    REWRITTEN = "rewritten"
    """The external system keeps another value than it was sent, so pushes would never end."""
    OWN_PUSH = "own_push"
    """A push of ours without an answer wrote this value; the writer of the seen one is unknown."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that both sides changed: all three values, the winner, and the policy or ground."""

    path: str
    base: Any
    internal: Any
    external: Any
    winner: Side
    policy: ConflictPolicy | Ground
