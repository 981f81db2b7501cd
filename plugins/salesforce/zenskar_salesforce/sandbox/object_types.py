"""The objects of an org and their fields: types, lengths and rights."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from zenskar_salesforce.record_ids import ACCOUNT_PREFIX, CONTACT_PREFIX, long_id

from .problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

EXTERNAL_ID: Final = "Zenskar_Id__c"
_EMAIL = re.compile(r"[^\s@<>]+@[^\s@<>.]+(\.[^\s@<>.]+)+")
_MOST_METADATA = 32_768


@dataclass(frozen=True, slots=True)
class ObjectField:
    """A field; only a field with `writable` may be in a body."""

    name: str
    kind: str = "string"
    length: int = 0
    writable: bool = True
    required: bool = False
    unique: bool = False

    def clean(self, value: Any) -> Any:
        """Return a value as Salesforce stores it: trimmed, and null when empty."""
        if isinstance(value, str):
            return value.strip() or None
        return value

    def problem(self, value: Any) -> Problem | None:
        """Return the problem of a cleaned value, None without one."""
        if value is None:
            return self._missing() if self.required else None
        if not isinstance(value, str):
            text = f"Cannot deserialize instance of {self.kind} from a JSON value"
            return Problem("JSON_PARSER_ERROR", text)
        if self.length and len(value) > self.length:
            text = f"{self.name}: data value too large: {value} (max length={self.length})"
            return Problem("STRING_TOO_LONG", text, (self.name,))
        if self.kind == "email" and not _EMAIL.fullmatch(value):
            text = f"{self.name}: invalid email address: {value}"
            return Problem("INVALID_EMAIL_ADDRESS", text, (self.name,))
        if self.kind == "reference" and long_id(value) is None:
            text = f"{self.name}: id value of incorrect type: {value}"
            return Problem("MALFORMED_ID", text, (self.name,))
        return None

    def _missing(self) -> Problem:
        text = f"Required fields are missing: [{self.name}]"
        return Problem("REQUIRED_FIELD_MISSING", text, (self.name,))


@dataclass(frozen=True)
class ObjectType:
    """An object of an org; `address` is the prefix of the fields of its address."""

    name: str
    prefix: str
    address: str
    fields: Mapping[str, ObjectField]
    has_codes: bool = False
    _by_lower_name: dict[str, ObjectField] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_lower_name.update({name.lower(): each for name, each in self.fields.items()})

    def field(self, name: str) -> ObjectField | None:
        """Return the field of a name in any case, as the API accepts names."""
        return self._by_lower_name.get(name.lower())

    def full_name(self, row: Mapping[str, Any]) -> Any:
        """Return the name of a record: Salesforce makes that of a contact of its parts."""
        if "LastName" not in self.fields:
            return row.get("Name")
        return " ".join(filter(None, (row.get("FirstName"), row.get("LastName"))))


def object_type(name: str, *, has_codes: bool = False) -> ObjectType:
    """Return a Contact or an Account.

    `has_codes`: the org has State and Country Picklists, so its addresses have codes too.
    """
    own, address = (_ACCOUNT, "Billing") if name == "Account" else (_CONTACT, "Mailing")
    prefix = ACCOUNT_PREFIX if name == "Account" else CONTACT_PREFIX
    fields = (*_FIRST, *own, *_address(address, has_codes=has_codes), *_LAST)
    return ObjectType(name, prefix, address, {each.name: each for each in fields}, has_codes)


def _shown(name: str, kind: str) -> ObjectField:
    return ObjectField(name, kind, writable=False)


def _address(prefix: str, *, has_codes: bool) -> Iterable[ObjectField]:
    yield ObjectField(f"{prefix}Street", "textarea", 255)
    yield ObjectField(f"{prefix}City", length=40)
    yield ObjectField(f"{prefix}State", length=80)
    yield ObjectField(f"{prefix}PostalCode", length=20)
    yield ObjectField(f"{prefix}Country", length=80)
    if has_codes:
        yield ObjectField(f"{prefix}StateCode", "picklist", 10)
        yield ObjectField(f"{prefix}CountryCode", "picklist", 10)


_FIRST: Final = (
    _shown("Id", "id"),
    _shown("IsDeleted", "boolean"),
    _shown("MasterRecordId", "reference"),
)
_CONTACT: Final = (
    ObjectField("AccountId", "reference"),
    ObjectField("LastName", length=80, required=True),
    ObjectField("FirstName", length=40),
    _shown("Name", "string"),
    ObjectField("Title", length=128),
    ObjectField("Description", "textarea", 32_000),
    ObjectField("Email", "email", 80),
    ObjectField("Phone", "phone", 40),
    ObjectField("MobilePhone", "phone", 40),
)
_ACCOUNT: Final = (
    ObjectField("Name", length=255, required=True),
    ObjectField("Description", "textarea", 32_000),
    ObjectField("Phone", "phone", 40),
)
_LAST: Final = (
    _shown("CreatedDate", "datetime"),
    _shown("CreatedById", "reference"),
    _shown("LastModifiedDate", "datetime"),
    _shown("LastModifiedById", "reference"),
    _shown("SystemModstamp", "datetime"),
    ObjectField(EXTERNAL_ID, length=36, unique=True),
    ObjectField("Zenskar_Metadata__c", "textarea", _MOST_METADATA),
)
