"""Credentials of an external system, as values that no log shows."""

import re
from base64 import b64encode
from dataclasses import dataclass, field

from zenskar.errors import InvalidInput

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")


@dataclass(frozen=True, slots=True)
class Header:
    """A header that proves our identity. Raises `InvalidInput` unless a header can hold it."""

    name: str
    value: str = field(repr=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or not _VALUE.fullmatch(self.value):
            raise InvalidInput(f"the {self.name!a} header would be empty or not plain ASCII")

    @property
    def header(self) -> tuple[str, str]:
        """Return the name and the value of the header."""
        return self.name, self.value


@dataclass(frozen=True, slots=True)
class Bearer:
    """A bearer token. Raises `InvalidInput` for an empty token, or one with special characters.

    `base` is the base address of calls with this token, where the answer with the token names one.
    """

    token: str = field(repr=False)
    base: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[!-~]+", self.token):
            raise InvalidInput("the token is empty or not plain ASCII")

    @property
    def header(self) -> tuple[str, str]:
        """Return the name and the value of the header."""
        return "Authorization", f"Bearer {self.token}"


@dataclass(frozen=True, slots=True)
class Basic:
    """A user and a password. Raises `InvalidInput` for a user with a colon."""

    user: str
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if ":" in self.user:
            raise InvalidInput("the user has a colon")

    @property
    def header(self) -> tuple[str, str]:
        """Return the name and the value of the header."""
        pair = f"{self.user}:{self.password}".encode()
        return "Authorization", f"Basic {b64encode(pair).decode()}"


Credentials = Bearer | Basic | Header
