"""The covered part of a record."""

from typing import Any

import pytest

from zenskar.model.coverage import Coverage

ALL = frozenset({"name", "phone", "address", "metadata"})
COVERAGE = Coverage(
    ALL,
    {"/metadata/plan": "/metadata/tier", "/metadata/tier": None, "/address/city": None},
    {"/phone": True, "metadata": True, "/metadata/plan": False},
)
RECORD: dict[str, Any] = {
    "/name": "Ada",
    "/phone": "1",
    "/email": "a@x.org",
    "/address": {"line1": "A 1", "city": "Bonn"},
    "/metadata/plan": "pro",
    "/metadata/tier": "old",
    "/metadata/x": "y",
}


def test_terms_describe_a_coverage_as_it_is_stored() -> None:
    assert Coverage.of_terms(COVERAGE.terms) == COVERAGE
    assert Coverage(ALL).terms == ALL


def test_the_covered_part_has_neither_lost_parts_nor_other_fields() -> None:
    assert COVERAGE.of(RECORD) == {
        "/name": "Ada",
        "/phone": "1",
        "/address": {"line1": "A 1"},
        "/metadata/plan": "pro",
        "/metadata/x": "y",
    }
    assert "/address" not in COVERAGE.of({"/address": {"city": "Bonn"}})


def test_a_field_that_is_never_pushed_stays_as_it_is_there() -> None:
    base = {"/phone": "2", "/metadata/z": "there", "/name": "Eve"}
    pushed = COVERAGE.pushed(RECORD, base)
    assert pushed == {
        "/name": "Ada",
        "/phone": "2",
        "/address": {"line1": "A 1"},
        "/metadata/plan": "pro",
        "/metadata/z": "there",
    }
    assert COVERAGE.shows(RECORD, pushed)
    assert not COVERAGE.shows(RECORD, base)


@pytest.mark.parametrize(
    ("new", "kept"),
    [
        ({"line1": "B 2"}, {"line1": "B 2", "city": "Bonn"}),
        (None, {"city": "Bonn"}),
    ],
)
def test_a_change_of_an_address_keeps_the_members_that_do_not_travel(
    new: dict[str, str] | None, kept: dict[str, str]
) -> None:
    changes = {"/address": new, "/name": None}
    assert COVERAGE.lift(RECORD, changes) == {"/address": kept, "/name": None}


def test_an_address_without_any_member_is_no_value() -> None:
    everything = Coverage(ALL, {"/metadata/a": "/metadata/b"})
    assert everything.lift(RECORD, {"/address": None}) == {"/address": None}


def test_a_base_is_about_leaves_with_the_same_place() -> None:
    earlier = Coverage(ALL)
    base = {p: v for p, v in RECORD.items() if p != "/email"}
    assert COVERAGE.still_about(earlier, base) == {
        "/name": "Ada",
        "/phone": "1",
        "/metadata/x": "y",
    }
    assert not COVERAGE.within(earlier)
    assert Coverage(frozenset({"name"})).within(earlier)
    assert not earlier.within(Coverage(frozenset({"name"})))
