"""Get access tokens: by client credentials, or by a signed assertion (JWT bearer).

A token names the address of the org, and has no end: a call that is refused with 401 gets a new
token. Tokens are not revoked at the end, because other processes may share them.
"""

import base64
import json
import re
import time
from typing import Any
from urllib.parse import urlsplit

from zenskar import CallFailed, Failure, FailureKind, InvalidInput
from zenskar.http import Bearer, Client, ClientLimits, HttpAnswer, base_address
from zenskar_salesforce.config import Config
from zenskar_salesforce.record_ids import long_id

_PATH = "/services/oauth2/token"
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SECONDS = 120
"""The life of an assertion; Salesforce accepts at most three minutes."""
_HOSTS = (".salesforce.com", ".salesforce.mil", ".cloudforce.com", ".database.com")
"""Domains whose hosts serve the API, and no sites of customers."""
_ORG = re.compile(r"/id/(00D[A-Za-z0-9]{12,15})/")


class Login:
    """Gets tokens; `org_id` is the org of the last token."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._signer = _Signer(config.private_key) if config.private_key else None
        self._client = Client(
            config.domain,
            limits=ClientLimits(seconds=config.timeout_seconds),
            allow_http=config.allow_http,
            code=lambda body: body["error"],
        )
        self.org_id: str | None = None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def renew(self) -> Bearer:
        """Return a new token. Raises `HttpError`, and `CallFailed` for an answer without one."""
        answer = await self._client.request("POST", _PATH, form=self._form())
        body = answer.body if isinstance(answer.body, dict) else {}
        try:
            token = Bearer(str(body.get("access_token") or ""), self._base(answer))
        except InvalidInput as error:
            raise _refused(f"the answer of the login is not usable: {error}") from None
        found = _ORG.search(str(body.get("id")))
        self.org_id = long_id(found[1]) if found else None
        return token

    def _form(self) -> dict[str, Any]:
        config = self._config
        if self._signer is None:
            grant = "client_credentials"
            secret = config.client_secret
            return {
                "grant_type": grant,
                "client_id": config.client_id,
                "client_secret": secret,
            }
        claims = {
            "iss": config.client_id,
            "sub": config.username,
            "aud": config.audience,
            "exp": int(time.time()) + _SECONDS,
        }
        return {"grant_type": _JWT_BEARER, "assertion": self._signer.sign(claims)}

    def _base(self, answer: HttpAnswer) -> str:
        """Return the address of the API; only an address of Salesforce or ours gets the token."""
        if self._config.api_base is not None:
            return self._config.api_base
        given = base_address(
            answer.body.get("instance_url"),
            name="instance_url",
            allow_http=self._config.allow_http,
        )
        parts = urlsplit(given)
        own = urlsplit(self._config.domain)
        is_own = (parts.scheme, parts.netloc) == (own.scheme, own.netloc)
        is_theirs = parts.scheme == "https" and f".{parts.hostname}".endswith(_HOSTS)
        if not (is_own or is_theirs) or parts.path:
            raise _refused("the login names an address that is not Salesforce's")
        return given


class _Signer:
    """Signs assertions with an RSA key. Raises `InvalidInput` for a text that is no key."""

    def __init__(self, pem: str) -> None:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, RSAPrivateKey):
            raise InvalidInput("the private key is not an RSA key in PEM without a password")
        self._key = key

    def sign(self, claims: dict[str, Any]) -> str:
        """Return the claims as a signed JWT: RFC 7515, with RS256."""
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        text = f"{_encoded({'alg': 'RS256'})}.{_encoded(claims)}"
        return f"{text}.{_base64(self._key.sign(text.encode(), PKCS1v15(), SHA256()))}"


def _encoded(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _refused(message: str) -> CallFailed:
    return CallFailed(Failure(FailureKind.CREDENTIALS, message))
