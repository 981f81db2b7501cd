"""The settings of a Salesforce connection."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from zenskar import Connection, InvalidInput, Setting
from zenskar.http import base_address
from zenskar.webhooks import split_secrets
from zenskar_salesforce.object_kinds import ACCOUNT, CONTACT, ObjectKind, object_kind
from zenskar_salesforce.record_ids import ORG_PREFIX, long_id

API_VERSION = "66.0"
TIMEOUT_SECONDS = 30.0
LOGIN_AUDIENCE = "https://login.salesforce.com"
TEST_AUDIENCE = "https://test.salesforce.com"

SETTINGS = (
    Setting("client_id", required=True, secret=True, help="Consumer key of the client app."),
    Setting("domain", required=True, help="My Domain of the org, such as acme.my.salesforce.com."),
    Setting("client_secret", secret=True, help="Consumer secret, for client credentials."),
    Setting("username", help="User of the integration, for JWT bearer."),
    Setting("private_key", secret=True, help="RSA key as PEM that signs, for JWT bearer."),
    Setting("audience", help="Audience of the JWT; by default that of the domain."),
    Setting("object", default=CONTACT, help="Object of a customer: Contact, or Account."),
    Setting(
        "metadata_field",
        help="Long text area that holds the metadata, such as Zenskar_Metadata__c.",
    ),
    Setting(
        "address_codes",
        kind=bool,
        default=False,
        help="Sync codes of states and countries; the org has their picklists.",
    ),
    Setting(
        "webhook_token",
        secret=True,
        help="Last part of the address of Outbound Messages; comma-separated while rotating.",
    ),
    Setting("org_id", help="Own org id; messages of other orgs are ignored."),
    Setting("api_base", help="Address of the API; by default that of the token."),
    Setting("api_version", default=API_VERSION, help="Version of the REST API."),
    Setting(
        "allow_duplicates",
        kind=bool,
        default=False,
        help="Save records that a duplicate rule only warns about.",
    ),
    Setting(
        "allow_http",
        kind=bool,
        default=False,
        help="Accept addresses without TLS on another machine.",
    ),
    Setting("timeout_seconds", kind=float, default=TIMEOUT_SECONDS, help="Limit of one call."),
)


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one connection, with every default filled in.

    The credentials are a `client_secret`, or a `username` with a `private_key`.
    """

    client_id: str = field(repr=False)
    domain: str
    client_secret: str = field(repr=False, default="")
    username: str = ""
    private_key: str = field(repr=False, default="")
    audience: str = LOGIN_AUDIENCE
    kind: ObjectKind = field(default_factory=object_kind)
    webhook_tokens: tuple[str, ...] = field(repr=False, default=())
    org_id: str | None = None
    api_base: str | None = None
    api_version: str = API_VERSION
    allow_duplicates: bool = False
    allow_http: bool = False
    timeout_seconds: float = TIMEOUT_SECONDS

    @classmethod
    def of(cls, connection: Connection) -> "Config":
        """Return the configuration of a connection. Raises `InvalidInput` for a wrong setting."""
        given = connection.settings
        domain = _address(connection, "domain")
        version = str(given.get("api_version") or API_VERSION)
        if not re.fullmatch(r"[0-9]{2}\.0", version):
            raise InvalidInput(f"{connection.name.upper()}_API_VERSION is no version such as 66.0")
        config = cls(
            client_id=_text(given, "client_id"),
            domain=domain,
            client_secret=_text(given, "client_secret"),
            username=_text(given, "username"),
            private_key=_text(given, "private_key"),
            audience=_text(given, "audience") or _audience(domain),
            kind=_kind(connection),
            webhook_tokens=split_secrets(given.get("webhook_token")),
            org_id=_org_id(connection),
            api_base=_address(connection, "api_base") if given.get("api_base") else None,
            api_version=version,
            allow_duplicates=bool(given.get("allow_duplicates")),
            allow_http=bool(given.get("allow_http")),
            timeout_seconds=_timeout(connection),
        )
        config.check(connection.name.upper())
        return config

    def check(self, name: str) -> None:
        """Raise `InvalidInput` unless there are credentials of exactly one kind."""
        if not self.client_id:
            raise InvalidInput(f"{name}_CLIENT_ID holds no consumer key")
        if bool(self.username) != bool(self.private_key):
            raise InvalidInput(f"{name}_USERNAME and {name}_PRIVATE_KEY need each other")
        if bool(self.client_secret) == bool(self.private_key):
            raise InvalidInput(f"set {name}_CLIENT_SECRET, or {name}_PRIVATE_KEY, and not both")


def _timeout(connection: Connection) -> float:
    given = connection.settings.get("timeout_seconds")
    seconds = TIMEOUT_SECONDS if given is None else float(given)
    if seconds <= 0:
        raise InvalidInput(f"{connection.name.upper()}_TIMEOUT_SECONDS must be above 0")
    return seconds


def _address(connection: Connection, name: str) -> str:
    """Return an address; a host without a scheme is reached over TLS."""
    given = connection.settings
    text = _text(given, name)
    variable = f"{connection.name.upper()}_{name.upper()}"
    return base_address(
        text if not text or "://" in text else f"https://{text}",
        name=variable,
        allow_http=bool(given.get("allow_http")),
        hint=f", or set {connection.name.upper()}_ALLOW_HTTP=true",
    )


def _kind(connection: Connection) -> ObjectKind:
    """Return the object that the connection syncs."""
    given, prefix = connection.settings, connection.name.upper()
    name, metadata = _text(given, "object") or CONTACT, _text(given, "metadata_field")
    if name not in (CONTACT, ACCOUNT):
        raise InvalidInput(f"{prefix}_OBJECT must be {CONTACT} or {ACCOUNT}")
    # The name becomes a part of queries.
    if metadata and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*__c", metadata):
        raise InvalidInput(
            f"{prefix}_METADATA_FIELD is no custom field such as Zenskar_Metadata__c"
        )
    codes = bool(given.get("address_codes"))
    return object_kind(name, metadata_field=metadata or None, has_codes=codes)


def _org_id(connection: Connection) -> str | None:
    text = _text(connection.settings, "org_id")
    found = long_id(text)
    if text and (found is None or not found.startswith(ORG_PREFIX)):
        raise InvalidInput(f"{connection.name.upper()}_ORG_ID is no id of an org such as 00D…")
    return found


def _audience(domain: str) -> str:
    """Return the audience of an org: that of a sandbox org, by its domain, is another."""
    host = urlsplit(domain).hostname or ""
    is_test = ".sandbox." in f".{host}" or host == urlsplit(TEST_AUDIENCE).hostname
    return TEST_AUDIENCE if is_test else LOGIN_AUDIENCE


def _text(given: Mapping[str, Any], name: str) -> str:
    return str(given.get(name) or "").strip()
