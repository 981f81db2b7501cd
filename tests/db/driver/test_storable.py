"""Texts that PostgreSQL cannot store become storable, and are recognized."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db.driver.storable import has_nul, is_storable, loads, storable
from zenskar.errors import InvalidInput

ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner),
)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a\x00b", "a\ufffdb"),
        ("\ud83dx\ude00", "\ufffdx\ufffd"),
        ("\U0001f600", "\U0001f600"),
        ({"a\x00": ["\udfff", 10**30]}, {"a\ufffd": ["\ufffd", 10**30]}),
    ],
)
def test_unstorable_characters_are_replaced(given: object, kept: object) -> None:
    assert storable(given) == kept


def test_a_storable_value_is_not_copied() -> None:
    value = {"name": "Ada", "metadata": {"a": ["b"]}}
    assert storable(value) is value


def test_names_that_would_become_equal_stay_different_in_any_order() -> None:
    members = [("a\x00", "1"), ("a\ud800", "2"), ("a\ufffd", "3")]
    expected = {"a\ufffd": "3", "a\ufffd\ufffd": "1", "a\ufffd\ufffd\ufffd": "2"}
    assert storable(dict(members)) == storable(dict(reversed(members))) == expected


def test_a_value_nested_too_deeply_is_refused() -> None:
    deep: object = "\x00"
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(InvalidInput):
        storable(deep)


@pytest.mark.parametrize("body", [b'"\\ud800', b'{"a": NaN, "b": "\\ud800"}', b"\xff\\ud800"])
def test_a_text_without_json_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any kind of it
        loads(body)


@pytest.mark.parametrize("value", ["\x00", {"a\x00": 1}, ["b", {"c": "d\x00"}]])
def test_nul_is_found_in_its_json(value: object) -> None:
    assert has_nul(json.dumps(value).encode())
    assert has_nul(orjson.dumps(value))


@pytest.mark.parametrize("value", ["", "0000", "\n", "\\", "\u00e9", {"a": ["\x01"]}])
def test_no_nul_is_found_in_other_json(value: object) -> None:
    assert not has_nul(json.dumps(value).encode())


def test_loads_returns_whether_the_value_is_exact() -> None:
    assert loads(b'{"a": "\\ud83d\\ude00 \\\\ud800"}') == ({"a": "\U0001f600 \\ud800"}, True)
    assert loads(b'{"a": "\\ud800"}') == ({"a": "\ufffd"}, False)
    assert loads(b'{"a": "\\\\u0000"}') == ({"a": "\\u0000"}, True)
    assert loads(b'{"a": "\\u0000"}') == ({"a": "\ufffd"}, False)


@given(ANY)
def test_every_json_value_can_be_stored_afterwards(value: object) -> None:
    kept = storable(value)
    assert is_storable(json.dumps(kept, ensure_ascii=False))
    assert storable(kept) == kept
    assert loads(json.dumps(value).encode())[0] == kept


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30 + 1])
def test_large_integers_are_read_exactly(number: int) -> None:
    assert loads(b'{"a": %d}' % number) == ({"a": number}, True)
    assert loads(b'{"a": %d, "b": "\\u0000"}' % number)[0]["a"] == number


async def test_postgresql_stores_the_value(engine: AsyncEngine) -> None:
    kept = storable({"a\x00\ud800": "\x00\udfff"})
    async with engine.connect() as db:
        query = text("SELECT CAST(:value AS jsonb)")
        found = await db.scalar(query, {"value": kept})
    assert found == kept
