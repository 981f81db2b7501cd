"""Declared fields translate in both directions."""

from collections.abc import Callable
from typing import Any

import pytest

from zenskar.fields import Constant, Field, FieldMap, Group, Keys, RecordId, Split
from zenskar.fields.samples import SAMPLES
from zenskar.model.fields import CUSTOMER
from zenskar.model.integration import Change
from zenskar.model.record import IntentKind

ADDRESS = {"line1": "street", "city": "town"}
ALL_ADDRESS = {name: name for name in SAMPLES[2]["address"]}


def split(name: str) -> tuple[str, str]:
    first, _, last = name.rpartition(" ")
    return first, last


def join(first: str, last: str) -> str:
    return f"{first} {last}".strip()


NAME = Split("name", ("first", "last"), split=split, join=join)
NESTED = FieldMap(
    NAME,
    Field("email"),
    Field("phone", "contact.phone"),
    Group("address", ADDRESS, at="location.home"),
    Keys("metadata", "custom", hidden="zenskar_"),
    Constant("type", "person"),
    RecordId("custom.zenskar_id"),
)
FLAT = FieldMap(
    Field("name", ("odd.name",)),
    Field("phone", read=lambda digits: f"+{digits}", write=lambda phone: int(phone[1:])),
    Group("address", ADDRESS),
    RecordId("ref"),
    unset="",
)


def push(fields: FieldMap, kind: IntentKind, **patch: Any) -> dict[str, Any]:
    return fields.from_canonical(Change(kind, "customer", "rec_1", patch, {}))


def test_a_create_leaves_out_empty_fields() -> None:
    body = push(
        NESTED,
        IntentKind.CREATE,
        name="Ada King",
        email="",
        phone="1",
        address={"line1": "1", "city": None},
        metadata={"plan": "pro", "tier": None, "zenskar_x": "y"},
    )
    assert body == {
        "type": "person",
        "first": "Ada",
        "last": "King",
        "contact": {"phone": "1"},
        "location": {"home": {"street": "1"}},
        "custom": {"zenskar_id": "rec_1", "plan": "pro"},
    }
    assert NESTED.record_id(body) == "rec_1"


def test_an_update_holds_the_changed_fields() -> None:
    body = push(
        NESTED, IntentKind.UPDATE, name="Ada", phone=None, metadata={"tier": None, "a": "b"}
    )
    assert body == {
        "first": None,
        "last": "Ada",
        "contact": {"phone": None},
        "custom": {"tier": None, "a": "b"},
    }
    assert push(NESTED, IntentKind.UPDATE, address=None) == {"location": {"home": None}}
    whole = push(NESTED, IntentKind.UPDATE, address={"city": "Pune"})
    assert whole == {"location": {"home": {"street": None, "town": "Pune"}}}


def test_an_empty_text_unsets_where_it_is_declared() -> None:
    body = push(FLAT, IntentKind.UPDATE, name=None, phone=None, address={"city": "Pune"})
    assert body == {"odd.name": "", "phone": "", "street": "", "town": "Pune"}
    assert push(FLAT, IntentKind.UPDATE, address=None) == {"street": "", "town": ""}


def test_values_are_converted_in_both_directions() -> None:
    assert push(FLAT, IntentKind.CREATE, phone="+49") == {"phone": 49, "ref": "rec_1"}
    assert FLAT.to_canonical({"phone": 49}) == {"phone": "+49"}
    assert FLAT.to_canonical({"phone": None}) == {"phone": None}


def test_a_delete_and_unknown_fields_have_no_body() -> None:
    assert push(NESTED, IntentKind.DELETE) == {}
    assert push(FLAT, IntentKind.UPDATE, email="a@b.example", metadata={"a": "b"}) == {}
    assert FLAT.names == ("name", "phone", "address")


@pytest.mark.parametrize(
    ("data", "document"),
    [
        ({}, {}),
        (None, {}),
        ({"email": None}, {"email": None}),
        ({"email": ""}, {"email": None}),
        ({"first": "Ada"}, {}),
        ({"first": None, "last": "Ada"}, {"name": "Ada"}),
        ({"first": None, "last": ""}, {"name": None}),
        ({"contact": {}}, {}),
        ({"contact": None}, {"phone": None}),
        ({"contact": "broken"}, {}),
        ({"contact": {"phone": "1"}}, {"phone": "1"}),
        ({"location": None}, {"address": None}),
        ({"location": {"home": {}}}, {"address": None}),
        ({"location": {"home": "broken"}}, {}),
        ({"location": "broken"}, {}),
        ({"location": {"home": {"town": "Pune"}}}, {"address": {"line1": None, "city": "Pune"}}),
        ({"custom": None}, {"metadata": {}}),
        ({"custom": ["broken"]}, {}),
        ({"custom": {"a": "b", "c": "", "zenskar_id": "x"}}, {"metadata": {"a": "b"}}),
    ],
)
def test_what_an_object_does_not_show_is_left_out(data: Any, document: Any) -> None:
    assert NESTED.to_canonical(data) == document


def test_a_flat_group_is_seen_as_a_whole_only() -> None:
    assert FLAT.to_canonical({"street": "1"}) == {}
    assert FLAT.to_canonical({"street": None, "town": ""}) == {"address": None}


def test_a_missing_member_is_empty_where_the_system_leaves_out_empty_members() -> None:
    fields = FieldMap(
        NAME,
        Field("phone", "contact.phone"),
        Field("email", "contact.email"),
        Keys("metadata", "custom"),
        omits_empty=True,
    )
    empty = {"name": None, "phone": None, "email": None, "metadata": {}}
    assert fields.to_canonical({}) == empty
    shown = fields.to_canonical({"last": "Ada", "contact": {"email": "a@b.example"}})
    assert shown == {**empty, "name": "Ada", "email": "a@b.example"}


@pytest.mark.parametrize("data", [None, {}, {"custom": None}, {"custom": {"zenskar_id": 7}}])
def test_an_object_without_our_id(data: Any) -> None:
    assert NESTED.record_id(data) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: FieldMap(Field("nmae")),
        lambda: FieldMap(Field("name"), Field("name", "other")),
        lambda: FieldMap(Field("name", "x"), Field("email", "x")),
        lambda: FieldMap(Field("name", "x"), Field("email", "x.y")),
        lambda: FieldMap(Field("email", "x.y"), Field("name", "x")),
        lambda: FieldMap(Field("name"), Constant("name", "x")),
        lambda: FieldMap(Group("address", ADDRESS, at="home"), RecordId("home.ref")),
        lambda: FieldMap(Keys("metadata"), Field("name", "metadata")),
        lambda: FieldMap(Field("name", "a..b")),
        lambda: FieldMap(Field("name", ())),
    ],
)
def test_a_wrong_declaration(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"field|entries|path"):
        make()


def test_a_split_into_another_number_of_parts() -> None:
    fields = FieldMap(Split("name", ("first", "last"), split=str.split, join=join))
    with pytest.raises(ValueError, match="argument"):
        push(fields, IntentKind.CREATE, name="Ada")


def test_the_samples_differ_in_every_field() -> None:
    for name in CUSTOMER.names:
        assert len({repr(document.get(name)) for document in SAMPLES}) > 2, name


ROUND = {
    "nested": FieldMap(
        NAME,
        Field("email"),
        Field("phone", "contact.phone"),
        Group("address", ALL_ADDRESS, at="home.address"),
        Keys("metadata", "custom", hidden="zenskar_"),
        RecordId("custom.zenskar_id"),
        Constant("contact.type", "person"),
    ),
    "flat": FieldMap(Field("name", "n"), Group("address", ALL_ADDRESS), unset=""),
    "without empty members": FieldMap(
        NAME, Group("address", ALL_ADDRESS), Keys("metadata", "a.b"), omits_empty=True
    ),
}


@pytest.mark.parametrize("fields", ROUND.values(), ids=ROUND)
def test_both_directions_undo_each_other(fields: FieldMap) -> None:
    fields.check_round_trip()
    fields.check_round_trip([{"name": "Ada"}, {}])


def first_word(name: str) -> tuple[str, str]:
    return name.split(maxsplit=1)[0], ""


class EmptiesUnseen(FieldMap):
    def to_canonical(self, data: Any) -> dict[str, Any]:
        return {"name": None, **super().to_canonical(data)}


class LeavesOutEmpty(FieldMap):
    def to_canonical(self, data: Any) -> dict[str, Any]:
        return {name: value for name, value in super().to_canonical(data).items() if value}


class ForgetsToFill(FieldMap):
    def __init__(self, *entries: Any, **options: Any) -> None:
        super().__init__(*entries, **options)
        self._blank = {}


class ForgetsToUnset(FieldMap):
    def from_canonical(self, change: Change) -> dict[str, Any]:
        return {key: value for key, value in super().from_canonical(change).items() if value}


class Random(FieldMap):
    count = 0

    def from_canonical(self, change: Change) -> dict[str, Any]:
        self.count += 1
        return {**super().from_canonical(change), "nonce": self.count}


WRONG = {
    "lossy split": (FieldMap(Split("name", ("a", "b"), split=first_word, join=join)), "/name"),
    "one way": (FieldMap(Field("phone", read=lambda text: text + "0")), "/phone"),
    "part of an address": (FieldMap(Group("address", ADDRESS, at="home")), "/address"),
    "visible id": (FieldMap(Keys("metadata"), RecordId("metadata.ref")), "/metadata/ref"),
    "empties what is unseen": (EmptiesUnseen(Field("name", "n")), "/name is emptied"),
    "leaves out what is empty": (
        LeavesOutEmpty(Field("phone")),
        "phone is not seen after a create",
    ),
    "forgets to fill": (ForgetsToFill(NAME, omits_empty=True), "name is not seen"),
    "forgets to unset": (ForgetsToUnset(Field("phone")), "/phone after an update"),
    "not deterministic": (Random(Field("name")), "the bodies of one change differ"),
}


@pytest.mark.parametrize(("fields", "problem"), WRONG.values(), ids=WRONG)
def test_the_check_finds_what_does_not_come_back(fields: FieldMap, problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        fields.check_round_trip()
