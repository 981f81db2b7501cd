"""Give out access tokens by two OAuth flows, and check them on every call.

Client credentials and JWT bearer:
https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_flows.htm.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CLIENT_CREDENTIALS: Final = "client_credentials"
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_AUDIENCES: Final = ("https://login.salesforce.com", "https://test.salesforce.com")
_LONGEST_SECONDS = 300
"""The documents say three minutes; clients that ask for five are served."""
_HASH = hashes.SHA256()


class TokenRefused(Exception):
    """A refusal of the token endpoint, as one object with a code and a description."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.body = {"error": error, "error_description": description}


@dataclass(frozen=True, slots=True)
class ConnectedApp:
    """The app that the org knows: its client, and for JWT bearer a user and a public key as PEM."""

    client_id: str
    client_secret: str = field(repr=False)
    username: str = ""
    public_key: str = ""


class Tokens:
    """The valid tokens; each ends after a time without use."""

    def __init__(
        self, app: ConnectedApp, clock: Callable[[], float], org_id: str, idle_seconds: float
    ) -> None:
        self.app, self.org_id = app, org_id
        self._clock, self._idle = clock, idle_seconds
        self._used: dict[str, float] = {}
        self.issued = 0

    def issue(
        self, form: Mapping[str, str], authorization: str, address: str, user: str
    ) -> dict[str, Any]:
        """Return the answer of the token endpoint. Raises `TokenRefused`.

        The client and its secret are in the form, or in an `Authorization` header.
        """
        grant = form.get("grant_type")
        if grant == CLIENT_CREDENTIALS:
            self._check_secret({**form, **_basic(authorization)})
        elif grant == JWT_BEARER:
            self._check_assertion(form.get("assertion", ""), address)
        else:
            raise TokenRefused("unsupported_grant_type", "grant type not supported")
        token = f"{self.org_id[:15]}!{secrets.token_urlsafe(48)}"
        self._used[token] = self._clock()
        self.issued += 1
        return {
            "access_token": token,
            "signature": base64.b64encode(secrets.token_bytes(32)).decode(),
            "token_format": "opaque",
            "instance_url": address,
            "id": f"https://login.salesforce.com/id/{self.org_id}/{user}",
            "token_type": "Bearer",
            "issued_at": str(int(self._clock() * 1000)),
        }

    def accepts(self, header: str) -> bool:
        """Return whether an `Authorization` header holds a valid token, and note its use."""
        token, now = header.removeprefix("Bearer ").removeprefix("OAuth "), self._clock()
        used = self._used.get(token)
        if used is None or now - used > self._idle:
            self._used.pop(token, None)
            return False
        self._used[token] = now
        return True

    def revoke(self) -> None:
        """End every token."""
        self._used.clear()

    def _check_secret(self, form: Mapping[str, str]) -> None:
        if form.get("client_id") != self.app.client_id:
            raise TokenRefused("invalid_client_id", "client identifier invalid")
        if form.get("client_secret") != self.app.client_secret:
            raise TokenRefused("invalid_client", "invalid client credentials")

    def _check_assertion(self, assertion: str, address: str) -> None:
        claims = _claims(assertion, self.app.public_key)
        if claims.get("iss") != self.app.client_id:
            raise TokenRefused("invalid_client_id", "client identifier invalid")
        if claims.get("aud") not in (*_AUDIENCES, address):
            raise TokenRefused("invalid_grant", "audience is invalid")
        if claims.get("sub") != self.app.username:
            raise TokenRefused("invalid_grant", "user hasn't approved this consumer")
        ends = claims.get("exp", "")
        left = float(ends) - self._clock() if str(ends).isdigit() else -1.0
        if not 0 < left <= _LONGEST_SECONDS:
            raise TokenRefused("invalid_grant", "assertion is expired or ends too late")


def _claims(assertion: str, public_key: str) -> dict[str, Any]:
    """Return the claims of a signed JWT. Raises `TokenRefused` for a wrong form or signature."""
    refusal = TokenRefused("invalid_grant", "invalid assertion")
    parts = assertion.split(".")
    try:
        head, claims = (json.loads(_decoded(part)) for part in parts[:2])
        key = load_pem_public_key(public_key.encode())
        if len(parts) != 3 or head["alg"] != "RS256" or not isinstance(key, rsa.RSAPublicKey):
            raise refusal
        signed = ".".join(parts[:2]).encode()
        key.verify(_decoded(parts[2]), signed, padding.PKCS1v15(), _HASH)
    except (ValueError, KeyError, TypeError, InvalidSignature):
        raise refusal from None
    if not isinstance(claims, dict):
        raise refusal
    return claims


def _basic(header: str) -> dict[str, str]:
    """Return the client of a header with basic authentication, nothing without one."""
    kind, _, text = header.partition(" ")
    if kind.lower() != "basic":
        return {}
    try:
        user, _, password = base64.b64decode(text).decode().partition(":")
    except ValueError:
        return {}
    return {"client_id": user, "client_secret": password}


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
