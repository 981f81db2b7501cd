"""Decide which unknown objects belong to which records, when all objects are known."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from zenskar.kernel import Candidate, Situation
from zenskar.kernel.match import is_same, match, normalized
from zenskar.model.fields import Fields
from zenskar.ops.join.join_plan import AmbiguousMatch
from zenskar.sync.reconcile.field_fate import FieldFate


@dataclass(frozen=True, slots=True)
class UnknownObject:
    """An object without a mapping: its matched fields, and the records that it may belong to.

    `fates` holds the effect of a link with each free candidate, by record id.
    """

    external_id: str
    digest: str
    fields: Fields
    candidates: tuple[Candidate, ...] = ()
    fates: Mapping[str, Mapping[str, FieldFate]] = field(default_factory=dict)


@dataclass(slots=True)
class Resolution:
    """The records of objects, the objects without a record, and the unclear ones."""

    links: list[tuple[UnknownObject, str]] = field(default_factory=list)
    new: list[UnknownObject] = field(default_factory=list)
    ambiguous: list[AmbiguousMatch] = field(default_factory=list)


def resolve(
    objects: Iterable[UnknownObject], match_by: tuple[str, ...], taken: Collection[str] = ()
) -> Resolution:
    """Resolve objects by the rules of the kernel, and by the objects with an equal first value.

    Records in `taken` belong to objects that name them.
    """
    found, groups = Resolution(), defaultdict(list)
    for each in objects:
        value = normalized(each.fields.get(f"/{match_by[0]}")) if match_by else None
        if value is None:
            found.new.append(each)
        else:
            groups[value].append(_without(each, taken))
    for group in groups.values():
        _resolve_group(group, match_by, found)
    return found


def _without(each: UnknownObject, taken: Collection[str]) -> UnknownObject:
    candidates = tuple(
        replace(c, free=c.free and c.record.id not in taken) for c in each.candidates
    )
    return replace(each, candidates=candidates)


def _resolve_group(
    group: Sequence[UnknownObject], match_by: tuple[str, ...], found: Resolution
) -> None:
    """Resolve the objects with one value, which is not unique if there are several."""
    matches = [
        match(Situation(candidates=o.candidates, match_by=match_by), o.fields, unique=not group[1:])
        for o in group
    ]
    wanted = Counter(m.record.id for m in matches if m.record is not None)
    new = [o for o, m in zip(group, matches, strict=True) if not m.record_ids]
    unclear, records = [], set()
    for each, made in zip(group, matches, strict=True):
        if made.record is not None and wanted[made.record.id] == 1:
            found.links.append((each, made.record.id))
        elif not made.record_ids and _stands_apart(each, new, match_by):
            found.new.append(each)
        else:
            unclear.append(each.external_id)
            records |= set(made.record_ids)
    if unclear:
        found.ambiguous.append(AmbiguousMatch(tuple(unclear), tuple(sorted(records))))


def _stands_apart(
    one: UnknownObject, new: Iterable[UnknownObject], match_by: tuple[str, ...]
) -> bool:
    """Whether a further field distinguishes an object from all others without a record."""
    return all(
        any(is_same(one.fields, other.fields, name) is False for name in match_by[1:])
        for other in new
        if other is not one
    )
