"""Verify the HMAC and the age of a webhook, whatever its sender put into the headers."""

import hmac
import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Literal

from zenskar.errors import BadSignature

Secret = str | bytes
_TIMESTAMP = {"s": re.compile(r"[0-9]{1,12}"), "ms": re.compile(r"[0-9]{1,15}")}


def split_secrets(setting: str | None) -> tuple[str, ...]:
    """Return the secrets of a comma-separated setting, which holds two while they rotate."""
    return tuple(filter(None, (part.strip() for part in (setting or "").split(","))))


def verify_hmac(
    secrets: Secret | Iterable[Secret],
    *signed: str | bytes,
    given: str | Iterable[str] | None,
    algorithm: str = "sha256",
    encoding: Literal["hex", "base64"] = "hex",
    prefix: str = "",
) -> None:
    """Raise `BadSignature` unless a given signature is the HMAC of the signed parts.

    Pass the secrets, then the parts in the order in which the sender joins them. `given` is the
    value of the signature header, or the signatures in it. A single match is enough.
    The comparison takes constant time. An empty secret never matches, because everybody knows it.
    """
    message = b"".join([part if part.__class__ is bytes else _encoded(part) for part in signed])
    # The characters of a text would be secrets that everybody can guess.
    keys = (secrets,) if isinstance(secrets, (str, bytes)) else secrets
    expected = [_digest(key, message, algorithm, encoding, prefix) for key in keys if key]
    matches = False
    for one in (given,) if isinstance(given, str) else given or ():
        for own in expected:
            # Compare all before the verdict: the time must not depend on the place of the match.
            matches |= hmac.compare_digest(one.encode(errors="replace"), own)
    if not matches:
        raise BadSignature("no signature matches")


def verify_age(
    timestamp: str | None,
    received_at: float,
    *,
    seconds: float = 300,
    unit: Literal["s", "ms"] = "s",
) -> int:
    """Return the Unix second of a timestamp that is at most so many seconds away from its receipt.

    The timestamp is a count of seconds or milliseconds, and must be part of what is signed. Raises
    `BadSignature` for a timestamp that is missing, not a number, too old or in the future.
    """
    if timestamp is None or not _TIMESTAMP[unit].fullmatch(timestamp):
        raise BadSignature("the timestamp is no number")
    sent = int(timestamp) / 1000 if unit == "ms" else int(timestamp)
    ago = received_at - sent
    # Written so that a receipt that is no number does not pass.
    if not abs(ago) <= seconds:
        where = "before" if ago > 0 else "after"
        text = f"the timestamp is {abs(ago):.0f} seconds {where} our time"
        raise BadSignature(f"{text}, {seconds:g} are allowed")
    return int(sent)


def _encoded(part: Secret) -> bytes:
    return part.encode(errors="replace") if isinstance(part, str) else part


def _digest(key: Secret, message: bytes, algorithm: str, encoding: str, prefix: str) -> bytes:
    raw = hmac.digest(_encoded(key), message, algorithm)
    text = raw.hex() if encoding == "hex" else b64encode(raw).decode()
    return (prefix + text).encode()
