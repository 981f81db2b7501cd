"""The fields of a Contact: types, lengths and rights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from zenskar_salesforce.record_ids import long_id

from .problems import Problem

OBJECT: Final = "Contact"
EXTERNAL_ID: Final = "Zenskar_Id__c"
_EMAIL = re.compile(r"[^\s@<>]+@[^\s@<>.]+(\.[^\s@<>.]+)+")


@dataclass(frozen=True, slots=True)
class ContactField:
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


def _shown(name: str, kind: str) -> ContactField:
    return ContactField(name, kind, writable=False)


CONTACT_FIELDS: Final = {
    field.name: field
    for field in (
        _shown("Id", "id"),
        _shown("IsDeleted", "boolean"),
        _shown("MasterRecordId", "reference"),
        ContactField("AccountId", "reference"),
        ContactField("LastName", length=80, required=True),
        ContactField("FirstName", length=40),
        _shown("Name", "string"),
        ContactField("Title", length=128),
        ContactField("Description", "textarea", 32000),
        ContactField("Email", "email", 80),
        ContactField("Phone", "phone", 40),
        ContactField("MobilePhone", "phone", 40),
        ContactField("MailingStreet", "textarea", 255),
        ContactField("MailingCity", length=40),
        ContactField("MailingState", length=80),
        ContactField("MailingPostalCode", length=20),
        ContactField("MailingCountry", length=80),
        _shown("CreatedDate", "datetime"),
        _shown("CreatedById", "reference"),
        _shown("LastModifiedDate", "datetime"),
        _shown("LastModifiedById", "reference"),
        _shown("SystemModstamp", "datetime"),
        ContactField(EXTERNAL_ID, length=36, unique=True),
    )
}
_BY_LOWER_NAME: Final = {name.lower(): field for name, field in CONTACT_FIELDS.items()}


def field_named(name: str) -> ContactField | None:
    """Return the field of a name in any case, as the API accepts names."""
    return _BY_LOWER_NAME.get(name.lower())


def full_name(row: dict[str, Any]) -> str:
    """Return the compound name that Salesforce makes of the parts."""
    return " ".join(filter(None, (row.get("FirstName"), row.get("LastName"))))
