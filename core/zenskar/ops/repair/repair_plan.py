"""The plan of a repair: its steps, and the differences that stay."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from zenskar.model.missing import Missing
from zenskar.ops.plan_file import complete_plan, require_ids, step_values
from zenskar.sync.reconcile.field_fate import FieldFate
from zenskar.sync.reconcile.repair_action import RepairAction


@dataclass(frozen=True, slots=True)
class RepairStep:
    """A repair with the state on which it depends: the record's version and the object's digest."""

    kind: RepairAction
    external_id: str | None
    record_id: str | None
    record_version: int | None = None
    digest: str | None = None
    fields: Mapping[str, FieldFate] = field(default_factory=dict)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Return the step that a plan file holds."""
        require_ids(body["record_id"])
        return cls(**step_values(body, RepairAction))


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """All repairs of an entity type at a connection.

    `left` holds the differences that no repair removes, by kind and ids. `under_way` counts the
    differences that workers are about to remove. `not_read` holds the first unreadable objects of
    each kind, and `invalid` counts all of them. `outside` counts records, and objects without a
    record, that the filter of the connection excludes. No step changes any of these. `profile` is
    the digest of the connection's profile.
    """

    id: str
    source: str
    entity_type: str
    account: str | None
    missing: Missing | None
    profile: str | None = None
    objects: int = 0
    steps: tuple[RepairStep, ...] = ()
    left: tuple[dict[str, Any], ...] = ()
    under_way: int = 0
    invalid: int = 0
    not_read: tuple[dict[str, Any], ...] = ()
    outside: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """The number of steps of each kind, and of the differences that stay."""
        kinds = Counter(step.kind.value for step in self.steps)
        return {
            **{kind.value: kinds[kind.value] for kind in RepairAction},
            "left": len(self.left),
            "under_way": self.under_way,
            "not_read": self.invalid,
            "outside": self.outside,
        }

    @property
    def fields(self) -> dict[str, dict[str, int]]:
        """The number of steps by field and by the effect on this field."""
        counts: dict[str, Counter[str]] = {}
        for step in self.steps:
            for path, fate in step.fields.items():
                counts.setdefault(path, Counter())[fate.value] += 1
        return {path: dict(sorted(counts[path].items())) for path in sorted(counts)}

    @property
    def certain(self) -> bool:
        """Whether every object could be read, and every difference has a repair."""
        return not self.left and not self.invalid

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**asdict(self), "counts": self.counts, "fields": self.fields}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Return the plan that a file holds. Raises `InvalidInput` when it was changed."""
        with complete_plan():
            known = {name: body[name] for name in cls.__dataclass_fields__}
            known["missing"] = None if known["missing"] is None else Missing(known["missing"])
            known["steps"] = tuple(RepairStep.from_json(each) for each in known["steps"])
            known["left"], known["not_read"] = tuple(known["left"]), tuple(known["not_read"])
        return cls(**known)
