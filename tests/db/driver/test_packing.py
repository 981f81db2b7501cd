"""Columns of texts arrive in PostgreSQL as they were."""

import tracemalloc
from collections.abc import Sequence

import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db.driver.engine import connected
from zenskar.db.driver.packing import document, listed, packed, unpacked
from zenskar.db.driver.statements import statement

_BACK = statement(f"SELECT * FROM {unpacked('a', 'b', documents=['c'])} AS t(a, b, c)")
_LISTED = statement(f"SELECT {listed('ids')} AS ids, {listed('numbers', 'bigint')} AS numbers")


async def back(
    engine: AsyncEngine,
    a: Sequence[str | None],
    b: Sequence[str | None],
    c: Sequence[bytes | None],
) -> list[tuple[str | None, ...]]:
    async with connected(engine) as db:
        rows = await _BACK.rows(db, **packed({"a": a, "b": b}, {"c": c}))
    return [tuple(row) for row in rows]


@pytest.mark.parametrize(
    ("a", "b", "c"),
    [
        (["x"], ["y"], [b"{}"]),
        (["x", "y", "z"], ["1", "2", "3"], [b"{}", b"[]", b'"\\n"']),
        (["x", None], [None, "y"], [None, b"{}"]),
        (["x"], [None], [None]),
        (["x", "y"], [None, None], [None, None]),
        (["a\x1fb", "c"], ["\x1f", "d\ue000"], [b"{}", b"{}"]),
        (["line\nline", "'; --"], ["NULL", "{a,b}"], ['{"city": "Zürich"}'.encode(), b"1"]),
    ],
)
async def test_rows_come_back_as_they_were(
    engine: AsyncEngine,
    a: Sequence[str | None],
    b: Sequence[str | None],
    c: Sequence[bytes | None],
) -> None:
    texts = [text.decode() if text is not None else None for text in c]
    assert await back(engine, a, b, c) == list(zip(a, b, texts, strict=True))


async def test_a_line_break_between_the_tokens_of_a_document_is_a_space(
    engine: AsyncEngine,
) -> None:
    rows = await back(engine, ["x", "y"], ["1", "2"], [b'{\n "a": 1\n}', b"{}"])
    assert [row[2] for row in rows] == ['{  "a": 1 }', "{}"]


async def test_many_rows_keep_their_order(engine: AsyncEngine) -> None:
    names = [f"name {number}" for number in range(500)]
    rows = await back(engine, names, [None] * 500, [b"{}"] * 500)
    assert [row[0] for row in rows] == names


@pytest.mark.parametrize(
    ("ids", "numbers"),
    [([], []), (["x"], []), ([], [7]), (["a\x1fb", "c,d", '{"e"}'], [1, -2, 2**62])],
)
async def test_lists_come_back_as_they_were(
    engine: AsyncEngine, ids: list[str], numbers: list[int]
) -> None:
    texts = {"ids": ids, "numbers": [str(number) for number in numbers]}
    async with connected(engine) as db:
        (row,) = await _LISTED.rows(db, **packed(texts))
    assert (row["ids"], row["numbers"]) == (ids, numbers)


def test_a_document_keeps_no_more_memory_than_it_needs() -> None:
    value = {"verdict": "merged", "changes": {"/name": "Ada"}}
    document(value)
    tracemalloc.start()
    try:
        documents = [document(value) for _ in range(100)]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [orjson.loads(each) for each in documents] == [value] * 100
    assert held < 100 * 300
