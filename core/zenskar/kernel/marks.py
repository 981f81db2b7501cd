"""The version of a base, and the integration's memo about its object."""

from dataclasses import replace

from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import ExternalMapping


def with_marks(mapping: ExternalMapping, seen: Observation, *, newer: bool) -> ExternalMapping:
    """Return the mapping with the version and the memo of the base that the observation makes."""
    if seen.version is None and seen.memo is None and mapping.version is None:
        return mapping
    version = _version_after(mapping, seen, newer=newer)
    memo = mapping.memo if seen.memo is None else seen.memo
    if version == mapping.version and memo == mapping.memo:
        return mapping
    return replace(mapping, version=version, memo=memo)


def has_other_memo(mapping: ExternalMapping, seen: Observation) -> bool:
    """Whether an observation whose order is open has a memo that may be newer than the known."""
    return seen.memo is not None and seen.memo != mapping.memo


def _version_after(mapping: ExternalMapping, seen: Observation, *, newer: bool) -> str | None:
    """Return a version that is never newer than the base (rule 9).

    A version that is too old costs a fetch. A version that is too new would hide an edit. So a
    known version stays if the order is open, or if a part of the object was not seen.
    """
    if newer and seen.kind is ObservationKind.FETCH:
        return seen.version
    if mapping.version is None:
        return None if seen.unseen else seen.version
    if not newer or (seen.unseen and seen.kind is not ObservationKind.ANSWER):
        return mapping.version
    return seen.version or mapping.version
