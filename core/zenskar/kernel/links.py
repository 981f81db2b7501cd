"""End and renew the link between a record and its object, apart from any observation.

Every change is a new revision of the mapping, so an answer that is under way cannot undo it.
"""

from dataclasses import replace

from zenskar.model.record import ExternalMapping, MappingState


def released(mapping: ExternalMapping) -> ExternalMapping:
    """Release the object of a record that leaves; a fetch precedes every later push."""
    return replace(detached(mapping), fetch_revision=mapping.revision + 1)


def detached(mapping: ExternalMapping) -> ExternalMapping:
    """Detach an object, live or not, so that a living record gets another one."""
    return replace(
        mapping,
        state=MappingState.DELETED,
        detached=True,
        revision=mapping.revision + 1,
        fetch_revision=None,
    )


def merged(mapping: ExternalMapping, merged_into: str) -> ExternalMapping:
    """Note that an object was merged into another one, so that its record gets no new one."""
    return replace(detached(mapping), detached=False, merged_into=merged_into)


def linked_again(mapping: ExternalMapping) -> ExternalMapping:
    """Link an object again that is proven to live; the mapping of a linked one stays as it is."""
    if mapping.active:
        return mapping
    return replace(
        mapping,
        state=MappingState.ACTIVE,
        detached=False,
        revision=mapping.revision + 1,
        merged_into=None,
        ended_record=False,
    )


def is_former(mapping: ExternalMapping) -> bool:
    """Whether the object was its record's, and is looked at before the record gets another one."""
    return not mapping.active and mapping.fetch_revision is not None
