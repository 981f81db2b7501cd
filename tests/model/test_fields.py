"""The flat form loses nothing and finds no difference where there is none."""

from hypothesis import given
from hypothesis import strategies as st

from zenskar.model.fields import (
    CUSTOMER,
    Shown,
    apply,
    difference,
    flatten,
    keep,
    merge_patch,
    unflatten,
)

# Its own alphabet: to draw from all of Unicode, hypothesis reads tables for seconds first.
LETTERS = "aZ/~01 é\0\u202eन😀"
TEXT = st.one_of(st.none(), st.text(LETTERS, max_size=8))
ADDRESS = st.one_of(st.none(), st.dictionaries(st.sampled_from(["line1", "city", "country"]), TEXT))
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "name": TEXT,
        "email": TEXT,
        "phone": TEXT,
        "address": ADDRESS,
        "metadata": st.one_of(
            st.none(), st.dictionaries(st.text(LETTERS, max_size=4), TEXT, max_size=4)
        ),
    },
)


@given(DOCUMENTS)
def test_flattening_twice_changes_nothing(document: dict[str, object]) -> None:
    fields = flatten(CUSTOMER, document)
    assert flatten(CUSTOMER, unflatten(CUSTOMER, fields)) == fields


@given(DOCUMENTS, DOCUMENTS)
def test_a_difference_makes_one_side_into_the_other(
    old: dict[str, object], new: dict[str, object]
) -> None:
    before, after = flatten(CUSTOMER, old), flatten(CUSTOMER, new)
    assert apply(before, difference(before, after)) == after


@given(DOCUMENTS)
def test_nothing_differs_from_itself(document: dict[str, object]) -> None:
    fields = flatten(CUSTOMER, document)
    assert difference(fields, dict(fields)) == {}


def test_null_missing_and_empty_are_the_same() -> None:
    nothing = {"name": None, "email": "", "address": {"line1": "", "city": None}, "metadata": {}}
    assert flatten(CUSTOMER, nothing) == flatten(CUSTOMER, {}) == {}


def test_a_field_that_is_left_out_was_not_seen_and_null_is_empty() -> None:
    rest = CUSTOMER.names - {"name", "metadata"}
    assert CUSTOMER.show({"name": "Ada", "metadata": None}) == Shown({"/name": "Ada"}, rest)
    empty = {"email": None, "phone": "", "address": {}, "metadata": {}}
    everything = dict.fromkeys(CUSTOMER.names) | empty | {"name": "Ada"}
    assert CUSTOMER.show(everything) == Shown({"/name": "Ada"})
    assert CUSTOMER.show(None) == Shown(None)


def test_a_narrower_shape_shows_and_keeps_less() -> None:
    shape = CUSTOMER.only({"name", "metadata"})
    document = {"name": "Ada", "phone": "1", "metadata": {"a/b": "c"}}
    fields = {"/name": "Ada", "/metadata/a~1b": "c"}
    assert shape.show(document) == Shown(fields)
    assert keep(shape.names, flatten(CUSTOMER, document)) == fields
    assert unflatten(shape, fields) == {"name": "Ada", "metadata": {"a/b": "c"}}


def test_nulls_are_left_out_of_an_address_too() -> None:
    document = {"address": {"city": "Bonn", "line1": None, "line2": ""}}
    assert flatten(CUSTOMER, document) == {"/address": {"city": "Bonn"}}
    assert flatten(CUSTOMER, {"address": {"city": "Bonn", "line1": None}}) == flatten(
        CUSTOMER, {"address": {"city": "Bonn"}}
    )


def test_who_changes_a_document_later_changes_no_leaf() -> None:
    address = {"city": "Bonn"}
    fields = flatten(CUSTOMER, {"address": address})
    address["city"] = "Berlin"
    assert fields == {"/address": {"city": "Bonn"}}


def test_an_address_is_one_leaf_and_metadata_one_for_each_key() -> None:
    document = {"address": {"city": "Bonn", "line2": ""}, "metadata": {"a/b": "1", "c~d": "2"}}
    assert flatten(CUSTOMER, document) == {
        "/address": {"city": "Bonn"},
        "/metadata/a~1b": "1",
        "/metadata/c~0d": "2",
    }


def test_a_merge_patch_sets_and_unsets() -> None:
    changes = {"/name": "Ada", "/phone": None, "/metadata/a~1b": None}
    expected = {"name": "Ada", "phone": None, "metadata": {"a/b": None}}
    assert merge_patch(CUSTOMER, changes) == expected
