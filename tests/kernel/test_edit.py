"""The effective changes of an edit."""

import pytest

from zenskar.kernel.edit import edit
from zenskar.model.fields import apply
from zenskar.model.record import Record

FIELDS = {"/name": "Ada", "/phone": "+441", "/metadata/plan": "pro"}


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({}, {}),
        ({"/name": "Ada"}, {}),
        ({"/email": None}, {}),
        ({"/name": "Ada L"}, {"/name": "Ada L"}),
        ({"/phone": None}, {"/phone": None}),
        ({"/name": "Ada", "/metadata/plan": None, "/metadata/x": "y"},
         {"/metadata/plan": None, "/metadata/x": "y"}),
    ],
)  # fmt: skip
def test_only_differences_are_left(changes: dict[str, object], left: dict[str, object]) -> None:
    record = Record("r", FIELDS)
    assert edit(record, changes) == left
    assert apply(FIELDS, left) == apply(FIELDS, changes)


def test_a_deleted_record_is_not_edited() -> None:
    assert edit(Record("r", FIELDS, deleted=True), {"/name": "Ada L"}) == {}


def test_nothing_handed_in_is_changed() -> None:
    changes = {"/name": "Ada", "/phone": None}
    edit(Record("r", FIELDS), changes)
    assert changes == {"/name": "Ada", "/phone": None}
    assert FIELDS["/phone"] == "+441"
