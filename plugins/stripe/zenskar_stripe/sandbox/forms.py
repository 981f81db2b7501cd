"""Parse forms with nested keys, which Stripe's request bodies and query strings are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qsl

from .errors import ApiError, invalid

if TYPE_CHECKING:
    from collections.abc import Iterable

Pairs: TypeAlias = list[tuple[str, str]]
Node: TypeAlias = "str | dict[str, Node]"
Tree: TypeAlias = dict[str, Node]

_KEY = re.compile(r"[^\[\]]+(?:\[[^\[\]]*\])*")
_PART = re.compile(r"[^\[\]]+|\[\]")
_DEEPEST = 8
_MOST_PAIRS = 1000


def parse(text: str) -> Pairs:
    """Split a form into its pairs. Raises `ApiError` for bad UTF-8 and for too many pairs."""
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PAIRS)
    except UnicodeDecodeError:
        raise invalid("Invalid UTF-8 in the request parameters.") from None
    except ValueError:
        raise invalid(f"Requests can have at most {_MOST_PAIRS} parameters.") from None


def nest(pairs: Iterable[tuple[str, str]]) -> Tree:
    """Return the tree of pairs such as `address[line1]=x` and `expand[]=y`."""
    tree: Tree = {}
    for key, value in pairs:
        if "[" in key or "]" in key:
            _place(tree, key, value)
        else:
            tree[key] = value
    return tree


def from_json(value: object) -> Node:
    """Return the same tree from JSON, in which null means the empty string that unsets."""
    if isinstance(value, dict):
        return {str(key): from_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return {str(index): from_json(item) for index, item in enumerate(value)} or ""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _place(tree: Tree, key: str, value: str) -> None:
    *parents, last = _parts(key)
    node = tree
    for part in parents:
        child = node.setdefault(_named(part, node), {})
        if isinstance(child, str):
            raise invalid("Invalid hash", key)
        node = child
    node[_named(last, node)] = value


def _parts(key: str) -> list[str]:
    if not _KEY.fullmatch(key):
        raise _bad_key(key)
    parts = _PART.findall(key)
    if len(parts) > _DEEPEST:
        raise invalid(f"Parameters can be nested at most {_DEEPEST} levels deep.", key)
    return parts


def _named(part: str, node: Tree) -> str:
    return str(len(node)) if part == "[]" else part


def _bad_key(key: str) -> ApiError:
    if key.startswith("metadata["):
        # https://docs.stripe.com/api/metadata: no square brackets in keys.
        return invalid("Metadata keys cannot contain square brackets ([ or ]).", "metadata")
    return invalid(f"Invalid parameter name: {key}", key)
