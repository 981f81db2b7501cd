"""Metadata: its limits, and the merge of updates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import invalid

if TYPE_CHECKING:
    from .forms import Node

# https://docs.stripe.com/api/metadata
MOST_KEYS = 50
LONGEST_KEY = 40
LONGEST_VALUE = 500


@dataclass(frozen=True, slots=True)
class Metadata:
    """Pairs of strings; an empty value unsets a key, an empty string unsets all keys."""

    def read(self, node: Node, name: str) -> dict[str, str] | None:
        """Return the given pairs, None to unset all keys."""
        if node == "":
            return None
        if isinstance(node, str):
            raise invalid("Invalid object", name)
        return {key: _value(key, value, name) for key, value in node.items()}


def merged(current: dict[str, str], given: dict[str, str] | None) -> dict[str, str]:
    """Return the metadata after an update."""
    if given is None:
        return {}
    result = {key: value for key, value in {**current, **given}.items() if value != ""}
    if len(result) > MOST_KEYS:
        raise invalid(f"Metadata can have at most {MOST_KEYS} keys.", "metadata")
    return result


def _value(key: str, value: Node, name: str) -> str:
    param = f"{name}[{key}]"
    if "[" in key or "]" in key:
        raise invalid("Metadata keys cannot contain square brackets ([ or ]).", name)
    if not key or len(key) > LONGEST_KEY:
        message = f"Metadata keys must have 1 to {LONGEST_KEY} characters; this has {len(key)}."
        raise invalid(message, param)
    if not isinstance(value, str):
        raise invalid("Metadata values must be strings.", param)
    if len(value) > LONGEST_VALUE:
        message = f"Metadata values can have up to {LONGEST_VALUE} characters"
        raise invalid(f"{message}, but you passed in a value that is {len(value)}.", param)
    return value
