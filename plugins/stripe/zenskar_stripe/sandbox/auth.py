"""Credentials and versions: https://docs.stripe.com/api/authentication."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from typing import TYPE_CHECKING

from .errors import invalid, unauthorized

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(?:\.[a-z]+)?(?:; ?[a-z0-9_=; ]+)?")


def authorize(headers: Mapping[str, str], api_key: str) -> None:
    """Accept the key as Bearer token or as Basic user name. Raises `ApiError` (401) otherwise."""
    given = _given_key(headers.get("Authorization", ""))
    if not given:
        raise unauthorized(
            "You did not provide an API key. You need to provide your API key in the "
            "Authorization header, using Bearer auth (e.g. 'Authorization: Bearer "
            "YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details."
        )
    if not hmac.compare_digest(given.encode(), api_key.encode()):
        raise unauthorized(f"Invalid API Key provided: {_masked(given)}")


def check_version(version: str) -> None:
    """Raise `ApiError` for a `Stripe-Version` that is not a version."""
    if not _VERSION.fullmatch(version):
        raise invalid(f"Invalid Stripe API version: {version[:40]}")


def plain(header: str) -> str:
    """Return a header's value with non-ASCII characters escaped, for answers and logs."""
    return header.encode("ascii", "backslashreplace").decode()


def _given_key(header: str) -> str:
    scheme, _, credentials = plain(header).strip().partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _masked(key: str) -> str:
    return f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > 16 else "*" * len(key)
