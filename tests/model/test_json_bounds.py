"""The limits of a JSON document."""

import orjson
import pytest

from zenskar.errors import InvalidInput
from zenskar.model.json_bounds import Bounds

BOUNDS = Bounds(members=10, depth=3)


@pytest.mark.parametrize(
    "value",
    [
        1, "x", None, [], {}, [1] * 10, {str(n): n for n in range(10)}, [[[]]], {"a": {"b": {}}},
        [[1, 2, 3, 4], [5, 6, 7, 8]], {"a": "[{[{,,,,,,,,,,,,,,"}, ["]" * 99],
    ],
)  # fmt: skip
def test_within(value: object) -> None:
    BOUNDS.check(value, orjson.dumps(value))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([1] * 11, "more than 10 members"),
        ({str(n): n for n in range(11)}, "more than 10 members"),
        ([[1] * 5, [2] * 5], "more than 10 members"),
        ([[[[]]]], "more than 3 levels"),
        ({"a": [{"b": [1]}]}, "more than 3 levels"),
        ([1, 2, {"a": {"b": {"c": 1, "d": {}}}}], "more than 3 levels"),
    ],
)
def test_beyond(value: object, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        BOUNDS.check(value, orjson.dumps(value))
