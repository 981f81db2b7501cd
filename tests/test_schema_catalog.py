"""Schemas decide, and explain by pointer without repeating a value."""

import functools
from pathlib import Path
from types import SimpleNamespace

import pytest

from zenskar.errors import ConfigurationError, SchemaViolation
from zenskar.schema_catalog import Schema, core_schemas, load_folder

CREATE = core_schemas()["customer"].part("create")
GOOD = {"name": "Ada", "email": "ada@example.com"}


def violations(schema: Schema, instance: object) -> dict[str, str]:
    with pytest.raises(SchemaViolation) as caught:
        schema.check(instance)
    return {v.pointer: v.message for v in caught.value.violations}


def test_a_good_customer_passes() -> None:
    CREATE.check(GOOD)
    CREATE.check(GOOD | {"metadata": {"plan": "pro"}, "address": {"city": "Köln"}, "phone": None})


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"email": "nobody"}, "/email"),
        ({"email": 7}, "/email"),
        ({"name": ""}, "/name"),
        ({"name": "a\x00b"}, "/name"),
        ({"address": {"city": 1}}, "/address/city"),
        ({"address": {"planet": "Mars"}}, "/address/planet"),
        ({"metadata": {"k": 1}}, "/metadata/k"),
        ({"metadata": {"zenskar_id": "x"}}, "/metadata"),
        ({"metadata": {"a[b]": "x"}}, "/metadata"),
        ({"extra": 1}, "/extra"),
        ({"metadata": {"k": "v" * 501}}, "/metadata/k"),
    ],
)
def test_every_violation_is_named_by_pointer(change: dict[str, object], pointer: str) -> None:
    assert pointer in violations(CREATE, GOOD | change)


def test_a_missing_field_is_named() -> None:
    assert violations(CREATE, {}) == {"/name": "is required", "/email": "is required"}


def test_a_violation_does_not_repeat_the_value() -> None:
    found = violations(CREATE, GOOD | {"email": "canary", "name": ["canary"]})
    assert "canary" not in str(found)


@pytest.mark.parametrize("name", ["a\x00b", "\x00"])
def test_nul_is_refused(name: str) -> None:
    with pytest.raises(SchemaViolation):
        CREATE.check(GOOD | {"name": name})


def test_an_instance_that_is_known_to_be_free_of_nul_is_checked_for_all_else() -> None:
    for good in ({"name": "\\u0000"}, {"metadata": {"a": "\x01"}}):
        CREATE.check(GOOD | good, nul_free=True)
    for bad in ({"name": 1}, {"name": "v" * 257}, {"metadata": {"k" * 41: "x"}}, {"extra": 1}):
        with pytest.raises(SchemaViolation):
            CREATE.check(GOOD | bad, nul_free=True)


def test_what_an_external_system_holds_is_bound_to_types_alone() -> None:
    schema = core_schemas()["customer"]
    long = "v" * 5000
    schema.check({"name": long, "address": {"line1": long}, "metadata": {long: long}})
    for bad in ({"name": 1}, {"metadata": {"a": 1}}, {"address": []}, {"extra": 1}):
        with pytest.raises(SchemaViolation):
            schema.check(bad)


def test_another_type_is_refused() -> None:
    assert violations(CREATE, ["a"]) == {"": "must be of type object"}


def test_a_folder_without_schemas_is_empty(tmp_path: Path) -> None:
    assert load_folder(tmp_path / "none") == {}


@pytest.mark.parametrize("text", ["{", "[]", '{"type": "nonsense"}'])
def test_what_is_no_schema_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "thing.schema.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"thing\.schema\.json"):
        load_folder(tmp_path)


@pytest.mark.parametrize(
    "instance",
    [
        {f"k{n}": 1 for n in range(3000)},
        GOOD | {"metadata": {f"k{n}": 1 for n in range(3000)}},
        {"name": [[[]]] * 1000},
        GOOD | {"metadata": {"a": functools.reduce(lambda inner, _: [inner], range(900), 1)}},
    ],
    ids=["fields", "metadata", "lists", "depth"],
)
def test_the_places_in_a_large_document_are_not_looked_for(instance: object) -> None:
    found = violations(CREATE, instance)
    assert set(found) == {""}
    assert "not looked for" in found[""]


def test_no_more_places_are_looked_for_than_are_told() -> None:
    schema = Schema("list", {"type": "array", "items": {"type": "string"}})
    asked: list[object] = []
    slow = schema._slow
    schema.__dict__["_slow"] = SimpleNamespace(
        iter_errors=lambda instance: (
            asked.append(error) or error for error in slow.iter_errors(instance)
        )
    )
    assert len(violations(schema, [1] * 1500)) == len(asked) == 20
