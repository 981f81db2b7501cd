"""When all objects are known, a value is unique only if no other object has it."""

from typing import Any

from tests.kernel.test_rules_6_to_9 import candidate
from zenskar.kernel import Candidate
from zenskar.ops.join.join_plan import AmbiguousMatch
from zenskar.ops.join.resolve import UnknownObject, resolve

BY_EMAIL, BY_NAME_TOO = ("email",), ("email", "name")
X = "x@x.org"
ADA, BOB = candidate("r1", email=X, name="Ada"), candidate("r2", email=X, name="Bob")


def thing(external_id: str, *candidates: Candidate, **fields: Any) -> UnknownObject:
    values = {f"/{name}": value for name, value in fields.items()}
    return UnknownObject(external_id, "", values, candidates)


def test_two_objects_of_one_value_wait_for_a_person() -> None:
    found = resolve([thing("o1", ADA, email=X), thing("o2", ADA, email="X@x.org ")], BY_EMAIL)
    assert (found.links, found.new) == ([], [])
    assert found.ambiguous == [AmbiguousMatch(("o1", "o2"), ("r1",))]
    alone = resolve([thing("o1", email=X), thing("o2", email=X)], BY_EMAIL)
    assert alone.ambiguous == [AmbiguousMatch(("o1", "o2"), ())]


def test_a_further_field_tells_objects_apart() -> None:
    objects = [
        thing("o1", ADA, BOB, email=X, name="bob"),
        thing("o2", ADA, BOB, email=X, name="Ada"),
        thing("o3", ADA, BOB, email=X, name="Cid"),
        thing("o4", ADA, BOB, email=X),
    ]
    found = resolve(objects, BY_NAME_TOO)
    assert [(each.external_id, record) for each, record in found.links] == [
        ("o1", "r2"),
        ("o2", "r1"),
    ]
    assert [each.external_id for each in found.new] == ["o3"]
    assert found.ambiguous == [AmbiguousMatch(("o4",), ("r1", "r2"))]


def test_two_new_objects_that_no_field_tells_apart_wait_for_a_person() -> None:
    objects = [thing(f"o{n}", email=X, name="Ada") for n in range(2)]
    objects.append(thing("o2", email=X, name="Bob"))
    found = resolve(objects, BY_NAME_TOO)
    assert [each.external_id for each in found.new] == ["o2"]
    assert found.ambiguous == [AmbiguousMatch(("o0", "o1"), ())]


def test_an_object_without_the_value_becomes_a_record() -> None:
    found = resolve([thing("o1", name="Ada"), thing("o2", ADA, email=X)], BY_EMAIL)
    assert [each.external_id for each in found.new] == ["o1"]
    assert [record for _, record in found.links] == ["r1"]
    assert len(resolve([thing("o1", email=X)], ()).new) == 1


def test_a_record_that_an_object_names_is_taken() -> None:
    found = resolve([thing("o1", ADA, email=X)], BY_EMAIL, taken={"r1"})
    assert found.ambiguous == [AmbiguousMatch(("o1",), ("r1",))]
