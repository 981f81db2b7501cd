"""Ids sort by the time of their creation."""

import uuid

from zenskar.ids import is_id, new_id


def test_an_id_is_a_uuid_of_version_7() -> None:
    made = uuid.UUID(new_id())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_ids_are_unique() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000


def test_what_is_no_id_is_told_apart() -> None:
    assert is_id(new_id())
    assert not any(is_id(text) for text in ("", "1", "{0}", "0198d2a0", "x" * 36))
