"""Every JSON text is read, or refused with the reason."""

import json

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zenskar.model.json_text import find_beyond_64_bits, may_round, read

DEEP = 20_000
LEVELS = (("[", "]"), ('{"a":', "}"), ('{"b": 1, "a" :[', "]}"), (" [ 1.5e3,", ' , "x" ] '))
SCRAPS = st.sampled_from([*'[]{},:" 01-+.eE\\un', '"a"', "true", "null", "NaN", "1e5", "\t", "\0"])


def nested(text: str, opening: str = "[", closing: str = "]") -> str:
    """Return a text at a depth that no parser of Python reaches."""
    return opening * DEEP + text + closing * DEEP


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9" * 4300, int("9" * 4300)),
        ("1e-400", 0.0),
        ("1.5", 1.5),
        ('{"a": 1, "a": 2}', {"a": 2}),
        (r'"\ud800"', "\ud800"),
    ],
)
def test_json_is_read(text: str, value: object) -> None:
    assert read(text) == value


@given(
    st.integers(min_value=2**64) | st.integers(max_value=-(2**63) - 1),
    st.text(st.characters(codec="ascii"), max_size=9),
)
def test_an_integer_beyond_64_bits_is_always_suspected(number: int, before: str) -> None:
    text = json.dumps({before: [number]})
    assert may_round(text.encode())
    assert find_beyond_64_bits(read(text)) is not None


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), True, 10**18])
def test_an_integer_of_64_bits_is_kept(number: int) -> None:
    assert find_beyond_64_bits({"a": [number]}) is None


def test_texts_with_few_digits_are_not_suspected() -> None:
    assert not may_round(json.dumps({"created": 1_700_000_000, "id": "4" * 18}).encode() * 50)


@pytest.mark.parametrize("text", ['{"id": "%s"}', '{"a": "a 1 %s"}', '[0.%s, "%s"]', '"-%s"'])
def test_long_digits_in_a_text_are_not_suspected(text: str) -> None:
    assert not may_round(text.replace("%s", "7" * 40).encode())


@given(st.lists(st.integers() | st.from_regex(r"[0-9:, -]{18,40}", fullmatch=True)))
def test_no_rounded_integer_is_missed(values: list[object]) -> None:
    text = json.dumps(values).encode()
    assert may_round(text) or orjson.loads(text) == values


def test_the_place_of_an_integer_beyond_64_bits_is_named() -> None:
    value = {"a": [1, {"b/c~d": 2**64}], "e": 2**70}
    assert find_beyond_64_bits(value) == "/a/1/b~1c~0d"


@pytest.mark.parametrize("text", ["9" * 4301, "-" + "9" * 6000, '{"a": [1e400, 1]}', "-1.5E+9999"])
def test_json_with_too_large_a_number_is_recognised(text: str) -> None:
    with pytest.raises(OverflowError):
        read(text)


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "[1e400, Infinity]", "", "\x0c1", '"\n"'])
def test_a_text_that_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any kind of it
        read(text)


@pytest.mark.parametrize(("opening", "closing"), LEVELS)
@pytest.mark.parametrize("inner", ["1", '"\\ud800"', "[]", "{}", "null ", "1e400", '{"a":"\\n"}'])
def test_json_that_is_too_deep_is_recognised(opening: str, closing: str, inner: str) -> None:
    with pytest.raises(RecursionError):
        read(nested(inner, opening, closing))


@pytest.mark.parametrize(("opening", "closing"), LEVELS)
@pytest.mark.parametrize("inner", ["01", "'a'", "[,]", '{"a"}', '{"a":1,}', "tru", "1 1", '"\\x"'])
def test_a_deep_text_that_is_no_json_is_refused(opening: str, closing: str, inner: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any kind of it
        read(nested(inner, opening, closing))


@settings(deadline=None, max_examples=60)
@given(st.lists(SCRAPS, max_size=12).map("".join))
@example('[[],{"a":{}},[1,{"b":[null]}]]')
@example("1]")
@example("[1}")
def test_the_depth_of_a_text_does_not_change_whether_it_is_json(text: str) -> None:
    try:
        json.loads(f"[{text}]", parse_constant=int)
    except ValueError:
        expected: type[Exception] = ValueError
    else:
        expected = RecursionError
    with pytest.raises(expected):
        read(nested(text))
