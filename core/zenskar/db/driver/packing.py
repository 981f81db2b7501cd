"""Many rows in one statement, each column a single text.

The driver looks closely at every element of an array: for a batch that was a fifth of a worker's
time. Here Python joins a column in one go, and PostgreSQL takes it apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

Texts = Mapping[str, Sequence[str | None]]
Documents = Mapping[str, Sequence[bytes | None]]
"""JSON, in which a line break only ever stands between two tokens (RFC 8259, section 7)."""


def unpacked(*texts: str, documents: Sequence[str] = ()) -> str:
    """Return SQL for behind FROM: a function with these columns, all of them of type text.

    PostgreSQL expects few rows of it, and so looks each of them up in an index; of
    `string_to_table` it expects so many that it would rather read a small table for each.
    """
    columns = [f"string_to_array(:{name}, :separator, '')" for name in texts]
    columns += [f"string_to_array(convert_from(:{name}, 'UTF8'), E'\\n', '')" for name in documents]
    return f"unnest({', '.join(columns)})"


def listed(name: str, kind: str = "text") -> str:
    """Return SQL for an array of this column, its elements of type `kind`, for behind `ANY`."""
    return f"CAST(string_to_array(:{name}, :separator) AS {kind}[])"


def packed(texts: Texts, documents: Documents | None = None) -> dict[str, str | bytes]:
    """Return the parameters for `unpacked`, from columns of equal length, or for `listed`.

    None and an empty text are both NULL there.
    """
    lines = {name: _lines(column) for name, column in (documents or {}).items()}
    plain = {name: [text or "" for text in column] for name, column in texts.items()}
    for separator in _separators():
        if not any(separator in "".join(column) for column in plain.values()):
            joined = {name: separator.join(column) for name, column in plain.items()}
            return {**joined, **lines, "separator": separator}
    raise ValueError("the texts hold every character there is")


def document(value: Any) -> bytes:
    """Return JSON in as much memory as it needs.

    What orjson returns keeps its buffer, of 4 KB or more, until it is let go, and a batch has
    thousands of small documents. Joining two makes a copy, joining one would not.
    """
    return b"".join((orjson.dumps(value), b""))


def number(value: float | None) -> str | None:
    """Return a number as text."""
    return None if value is None else str(value)


def _lines(documents: Sequence[bytes | None]) -> bytes:
    given = [document or b"" for document in documents]
    # To look into each of them is faster than to count those in the whole.
    if any(b"\n" in document for document in given):
        given = [document.replace(b"\n", b" ") for document in given]
    return b"\n".join(given)


def _separators() -> Iterator[str]:
    """Yield characters that are hardly in use, and then all others: one is not in the texts."""
    yield "\x1f"
    yield from map(chr, range(0xE000, 0xF900))
    yield from map(chr, range(0x10000, 0x110000))
