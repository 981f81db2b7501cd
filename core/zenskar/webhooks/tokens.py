"""Verify the token that a webhook names in its path, its query or a header."""

import hashlib
import hmac
from collections.abc import Iterable

from zenskar.errors import BadSignature
from zenskar.webhooks.signatures import Secret


def verify_token(tokens: Secret | Iterable[Secret], given: str | None) -> None:
    """Raise `BadSignature` unless a given token is one of these tokens.

    The comparison takes constant time. An empty token never matches, because everybody knows it.
    """
    # The characters of a text would be tokens that everybody can guess.
    known = (tokens,) if isinstance(tokens, (str, bytes)) else tokens
    own, matches = _digest(given or ""), False
    for token in known:
        # Compare all before the verdict: the time must not depend on the place of the match.
        matches |= bool(token) and hmac.compare_digest(_digest(token), own)
    if not matches:
        raise BadSignature("the token is missing or wrong")


def _digest(token: Secret) -> bytes:
    """Return a digest, so that the time of a comparison does not depend on the lengths."""
    text = token.encode(errors="replace") if isinstance(token, str) else token
    return hashlib.sha256(text).digest()
