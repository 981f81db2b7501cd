"""The plan of a join: its steps, and the objects and records about which a person decides."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

from zenskar.ops.plan_file import complete_plan, require_ids, step_values
from zenskar.sync.reconcile.field_fate import FieldFate, has_conflict


class JoinStepKind(StrEnum):
    """The kind of a step. `there` is the external system."""

    LINK = "link"
    """Link an object with a record, and merge both."""
    CREATE_HERE = "create_here"
    """Create a record for an object."""
    CREATE_THERE = "create_there"
    """Create an object for a record."""


@dataclass(frozen=True, slots=True)
class JoinStep:
    """A step with the state on which it depends: the record's version and the object's digest."""

    kind: JoinStepKind
    record_id: str
    external_id: str | None = None
    record_version: int | None = None
    digest: str | None = None
    fields: Mapping[str, FieldFate] = field(default_factory=dict)

    @property
    def conflicts(self) -> bool:
        """Whether both sides have different values of a field."""
        return has_conflict(self.fields)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Return the step that a plan file holds."""
        require_ids(body["record_id"] or "")
        return cls(**step_values(body, JoinStepKind))


@dataclass(frozen=True, slots=True)
class AmbiguousMatch:
    """Objects and records that may belong to each other, by their ids."""

    external_ids: tuple[str, ...]
    record_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """All steps that join an entity type at a connection.

    `linked` counts the objects with a mapping, and `under_way` the records whose create is not
    answered yet. `not_read` counts the objects that cannot be read, and `outside` the objects and
    records that the filter of the connection excludes. No step changes any of these.
    """

    id: str
    source: str
    entity_type: str
    account: str | None
    match_by: tuple[str, ...]
    steps: tuple[JoinStep, ...] = ()
    ambiguous: tuple[AmbiguousMatch, ...] = ()
    linked: int = 0
    under_way: int = 0
    not_read: tuple[dict[str, Any], ...] = ()
    outside: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """The number of steps of each kind, of links with conflicts, and of the rest."""
        kinds = Counter(step.kind.value for step in self.steps)
        return {
            **{kind.value: kinds[kind.value] for kind in JoinStepKind},
            "conflict": sum(step.conflicts for step in self.steps),
            "ambiguous": len(self.ambiguous),
            "linked": self.linked,
            "under_way": self.under_way,
            "not_read": len(self.not_read),
            "outside": self.outside,
        }

    @property
    def certain(self) -> bool:
        """Whether every object could be read, and none waits for a person."""
        return not self.ambiguous and not self.not_read

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**asdict(self), "counts": self.counts}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Return the plan that a file holds. Raises `InvalidInput` when it was changed."""
        with complete_plan():
            known = {name: body[name] for name in cls.__dataclass_fields__}
            known["match_by"] = tuple(known["match_by"])
            known["steps"] = tuple(JoinStep.from_json(each) for each in known["steps"])
            known["ambiguous"] = tuple(
                AmbiguousMatch(tuple(each["external_ids"]), tuple(each["record_ids"]))
                for each in known["ambiguous"]
            )
            known["not_read"] = tuple(known["not_read"])
        return cls(**known)
