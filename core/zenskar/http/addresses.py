"""Check the base address of an external system."""

import re
from typing import Any
from urllib.parse import urlsplit

from zenskar.errors import InvalidInput
from zenskar.networks import is_loopback

_PLAIN = re.compile(r"[!-~]+")


def base_address(
    text: Any, *, name: str = "the address", allow_http: bool = False, hint: str = ""
) -> str:
    """Return a base address without its last slash.

    Only an address of this machine may lack TLS, unless `allow_http`. Raises `InvalidInput` for any
    other text; `name` names the setting in the error, and `hint` ends the error about TLS.
    """
    address = str(text or "").strip().rstrip("/")
    try:
        parts = urlsplit(address)
        valid = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or True)
    except ValueError:
        valid = False
    # A user, a query or a fragment would hide the host, or be lost.
    if not valid or not _PLAIN.fullmatch(address) or any(sign in address for sign in "@?#\\"):
        raise InvalidInput(f"{name} must be a URL that starts with https://")
    if parts.scheme == "http" and not (allow_http or is_loopback(parts.hostname or "")):
        raise InvalidInput(f"{name} sends credentials and records without TLS: use https://{hint}")
    return address
