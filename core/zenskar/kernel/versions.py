"""Rule 9: the version of a base, so that an external system can refuse a push to a newer state."""

from dataclasses import replace

from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import ExternalMapping


def with_version(mapping: ExternalMapping, seen: Observation, *, newer: bool) -> ExternalMapping:
    """Return the mapping with the version of the base that the observation makes."""
    version = _version_after(mapping, seen, newer=newer)
    return mapping if version == mapping.version else replace(mapping, version=version)


def _version_after(mapping: ExternalMapping, seen: Observation, *, newer: bool) -> str | None:
    """Return a version that is never newer than the base.

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
