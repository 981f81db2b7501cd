"""The places of keys in TOML."""

import tomllib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zenskar.plugins.profile.toml_places import TomlPlaces

TEXT = """\
# a comment with = and [
a.b = 1 # x = 2
"q k"."x.y" = { z = "}", 'l' = [1, {m=2}] }
[customer.fields]
"/phone" = { there = "/metadata/p" }
"/na\\u006de".direction = \"\"\"a
"b\"\"\"\"
[[arr.x]]
k = [
  "a", # ]
  'b]',
]
[[arr.x]]
k = 1979-05-27 07:32:00
  [arr.x.sub]
  v = '''
[no]'''
"""


@pytest.mark.parametrize(
    ("keys", "line", "column"),
    [
        (("a", "b"), 2, 1),
        (("q k", "x.y", "z"), 3, 17),
        (("q k", "x.y", "l", "1", "m"), 3, 37),
        (("customer",), 4, 1),
        (("customer", "fields", "/phone", "there"), 5, 14),
        (("customer", "fields", "/phone", "absent"), 5, 1),
        (("customer", "fields", "/name", "direction"), 6, 1),
        (("arr", "x", "0", "k", "1"), 11, 3),
        (("arr", "x", "1", "k"), 14, 1),
        (("arr", "x", "1", "sub", "v"), 16, 3),
        (("absent",), 1, 1),
    ],
)
def test_a_key_has_the_place_where_it_is_written(
    keys: tuple[str, ...], line: int, column: int
) -> None:
    tomllib.loads(TEXT)
    assert TomlPlaces(TEXT).of(keys) == (line, column)


KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,4}", fullmatch=True),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=4),
)
STRINGS = st.sampled_from(
    ['"a"', "'b'", '""', "''", '"""x"""', "'''y\nz'''", '"\\"]#"', '"""a""b"""', '"""c"""""']
)
VALUES = st.recursive(
    st.one_of(STRINGS, st.sampled_from(["1", "true", "-1.5e3", "07:32:00"])),
    lambda inner: st.lists(inner, max_size=3).map(lambda each: f"[ {', '.join(each)} ]"),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_every_key_of_a_table_is_found_on_its_line(table: dict[str, str]) -> None:
    text, lines = "[t]\n", {}
    for key, value in table.items():
        lines[key] = text.count("\n") + 1
        quoted = key.replace("\\", "\\\\").replace('"', '\\"')
        text += f'"{quoted}" = {value} # ]\n'
    tomllib.loads(text)
    places = TomlPlaces(text)
    assert {key: places.of(("t", key)).line for key in table} == lines


def paths(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    items = enumerate(value) if isinstance(value, list) else getattr(value, "items", list)()
    return [path] * bool(path) + [
        each for key, inner in items for each in paths(inner, (*path, str(key)))
    ]


def test_every_value_has_a_place_of_its_own_or_shares_that_of_a_dotted_key() -> None:
    places = TomlPlaces(TEXT)
    found = {path: places.of(path) for path in paths(tomllib.loads(TEXT))}
    assert all(place.line > 1 for place in found.values())
