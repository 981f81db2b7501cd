"""Types of request parameters: each parses a node of the form or refuses it as Stripe does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from . import lengths
from .errors import invalid, missing_parameter, no_such, unknown_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .forms import Node, Tree

_INTEGER = re.compile(r"-?\d{1,15}")
_EMAIL = re.compile(r"[^@\s<>]+@[^@\s<>.]+(\.[^@\s<>.]+)+")
"""Stripe refuses `ada@com` and any space, as public reports of `Invalid email address` show."""


class Param(Protocol):
    """A type of a request parameter."""

    def read(self, node: Node, name: str) -> Any:
        """Return the value of a node. Raises `ApiError` with `name` for a wrong value."""


def read_params(fields: Mapping[str, Param], tree: Tree, prefix: str = "") -> dict[str, Any]:
    """Return the values of a hash of parameters. Raises `ApiError` for an unknown parameter."""
    if unknown := [_named(prefix, key) for key in tree if key not in fields]:
        raise unknown_parameters(unknown)
    return {key: fields[key].read(node, _named(prefix, key)) for key, node in tree.items()}


def _named(prefix: str, key: str) -> str:
    return f"{prefix}[{key}]" if prefix else key


def _text(node: Node, name: str) -> str:
    if isinstance(node, str):
        return node
    raise invalid("Invalid string: expected a string, but received a hash or an array.", name)


@dataclass(frozen=True, slots=True)
class Text:
    """A string; an empty one unsets."""

    longest: int = lengths.USUAL

    def read(self, node: Node, name: str) -> str | None:
        """Return the string, or None to unset."""
        text = _text(node, name)
        if len(text) > self.longest:
            raise invalid(f"Invalid string; must be at most {self.longest} characters", name)
        return text or None


@dataclass(frozen=True, slots=True)
class Email:
    """An e-mail address; an empty one unsets."""

    def read(self, node: Node, name: str) -> str | None:
        """Return the address, or None to unset."""
        text = Text(lengths.CUSTOMER["email"]).read(node, name)
        if text is not None and not _EMAIL.fullmatch(text):
            raise invalid(f"Invalid email address: {text}", name, "email_invalid")
        return text


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number within bounds."""

    least: int = -(10**14)
    most: int = 10**14

    def read(self, node: Node, name: str) -> int:
        """Return the number."""
        text = _text(node, name)
        if not _INTEGER.fullmatch(text):
            raise invalid(f"Invalid integer: {text}", name, "parameter_invalid_integer")
        number = int(text)
        if self.least <= number <= self.most:
            return number
        bound = f"greater than or equal to {self.least}"
        if number > self.most:
            bound = f"less than or equal to {self.most}"
        message = f"This value must be {bound} (it currently is '{text}')."
        raise invalid(message, name, "parameter_invalid_integer")


@dataclass(frozen=True, slots=True)
class Boolean:
    """`true` or `false`."""

    def read(self, node: Node, name: str) -> bool:
        """Return the truth value."""
        text = _text(node, name)
        if text not in ("true", "false"):
            raise invalid(f"Invalid boolean: {text}", name)
        return text == "true"


@dataclass(frozen=True, slots=True)
class Choice:
    """A word of a list; an empty string means the default."""

    words: tuple[str, ...]
    default: str | None = None

    def read(self, node: Node, name: str) -> str | None:
        """Return the word chosen."""
        text = _text(node, name)
        if not text:
            return self.default
        if text not in self.words:
            raise invalid(f"Invalid {name}: must be one of {', '.join(self.words)}", name)
        return text


@dataclass(frozen=True, slots=True)
class Hash:
    """A nested hash; an empty string unsets the whole hash."""

    fields: Mapping[str, Param]
    required: tuple[str, ...] = ()

    def read(self, node: Node, name: str) -> dict[str, Any] | None:
        """Return the given members, None to unset."""
        if node == "":
            return None
        if isinstance(node, str):
            raise invalid("Invalid object", name)
        for key in self.required:
            if key not in node:
                raise missing_parameter(f"{name}[{key}]")
        return read_params(self.fields, node, name)


@dataclass(frozen=True, slots=True)
class Whole:
    """A hash that is replaced as a whole: missing members become null."""

    hash: Hash

    def read(self, node: Node, name: str) -> dict[str, Any] | None:
        """Return every member of the hash, or None to unset."""
        given = self.hash.read(node, name)
        return None if given is None else {**dict.fromkeys(self.hash.fields), **given}


@dataclass(frozen=True, slots=True)
class Many:
    """An array; an empty string empties it."""

    item: Param
    most: int = 100

    def read(self, node: Node, name: str) -> list[Any]:
        """Return the items in the order given."""
        if node == "":
            return []
        if isinstance(node, str):
            raise invalid("Invalid array", name)
        if len(node) > self.most:
            raise invalid(f"Array {name} can have at most {self.most} elements", name)
        return [self.item.read(item, f"{name}[{key}]") for key, item in node.items()]


@dataclass(frozen=True, slots=True)
class Reference:
    """The id of an object of a kind that the sandbox does not have."""

    noun: str

    def read(self, node: Node, name: str) -> None:
        """Return None to unset. Raises `ApiError` for every id."""
        if text := _text(node, name):
            raise no_such(self.noun, text, param=name, status=400)
