"""Split and join the name of a person, which is two fields of a contact."""

from collections.abc import Mapping
from typing import Any

MOST_FIRST, MOST_LAST = 40, 80
"""The lengths of FirstName and LastName."""


def split_name(name: str, memo: Mapping[str, Any] | None = None) -> tuple[str, str]:
    """Return the first and the last name of a name.

    The split of `memo` stays where the name keeps one of its parts. Otherwise the last word is the
    last name.
    """
    name = name.strip()
    first, last = (str((memo or {}).get(part) or "") for part in ("first", "last"))
    if first and name.startswith(f"{first} ") and len(name) - len(first) - 1 <= MOST_LAST:
        return first, name[len(first) + 1 :].strip()
    if last and name.endswith(f" {last}") and len(name) - len(last) - 1 <= MOST_FIRST:
        return name[: -len(last) - 1].strip(), last
    before, _, word = name.rpartition(" ")
    return before.strip(), word


def join_name(first: str, last: str) -> str:
    """Return the name of a first and a last name."""
    return f"{first} {last}".strip()


def memo_of(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the split of a contact's name, nothing for the split that the name itself shows."""
    first, last = (str(row.get(name) or "") for name in ("FirstName", "LastName"))
    if split_name(join_name(first, last)) == (first, last):
        return {}
    return {"first": first, "last": last}
