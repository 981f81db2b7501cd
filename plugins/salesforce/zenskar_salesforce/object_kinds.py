"""Translate contacts or accounts between Salesforce's form and the canonical form.

The name of a contact is two fields, and an address has one street of several lines. Salesforce
trims texts, and shows an empty text as null.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import formatdate
from typing import Any

from zenskar import Change, ExternalObject, IntentKind, Interval
from zenskar.fields import Field, FieldMap, Group, RecordId, Split
from zenskar.http import BadAnswer
from zenskar_salesforce.failures import EXTERNAL_ID
from zenskar_salesforce.names import join_name, memo_of, split_name
from zenskar_salesforce.record_ids import ACCOUNT_PREFIX, CONTACT_PREFIX, long_id

ENTITY = "customer"
CONTACT, ACCOUNT = "Contact", "Account"
_LINES = ("line1", "line2")
_METADATA = "metadata"


@dataclass(frozen=True)
class ObjectKind:
    """The object that a connection syncs. `address` is the prefix of the fields of its address.

    `columns` are the fields that every call reads, named one by one: a field that is hidden is then
    refused. `metadata_field` holds the metadata as JSON.
    """

    name: str
    prefix: str
    address: str
    fields: FieldMap
    columns: tuple[str, ...]
    metadata_field: str | None = None

    @property
    def carries(self) -> tuple[str, ...]:
        """Return the canonical fields that travel."""
        return (*self.fields.names, *((_METADATA,) if self.metadata_field else ()))

    @property
    def limits(self) -> str:
        """Return the name of the schema with the limits of the fields."""
        return f"{ENTITY}.limits" if self.name == CONTACT else f"{self.name.lower()}.limits"

    @property
    def select(self) -> str:
        """Return the beginning of every query."""
        return f"SELECT {', '.join(self.columns)} FROM {self.name}"  # noqa: S608 - no values

    def seen(self, row: Mapping[str, Any], answered_at: int | None = None) -> ExternalObject:
        """Return a record as an external object, without data when it is deleted or was merged.

        Raises `BadAnswer` for an answer that is no record of this object.
        """
        identifier = long_id(str(row.get("Id")))
        if identifier is None or not isinstance(row.get("IsDeleted"), bool):
            raise BadAnswer("GET", problem="no record")
        stamp, modified = row.get("SystemModstamp"), row.get("LastModifiedDate")
        data = {name: row.get(name) for name in self.columns if name in row}
        record_id = self.fields.record_id(row)
        if row["IsDeleted"]:
            into = long_id(str(row.get("MasterRecordId")))
            return ExternalObject(
                ENTITY, identifier, None, record_id, answered_at, merged_into=into
            )
        return ExternalObject(
            ENTITY,
            identifier,
            data,
            record_id,
            answered_at,
            Interval.of_second(second(stamp)) if isinstance(stamp, str) else None,
            modified if isinstance(modified, str) else None,
            memo=memo_of(row) if self.name == CONTACT else {},
        )

    def listed(self, row: Mapping[str, Any], answered_at: int | None = None) -> ExternalObject:
        """Return a row of a list as an external object, which the core refuses if it is none."""
        try:
            return self.seen(row, answered_at)
        except (BadAnswer, ValueError, TypeError, AttributeError):
            data = {name: row.get(name) for name in self.columns if name in row}
            return ExternalObject(
                ENTITY, long_id(str(row.get("Id"))) or "", data, None, answered_at
            )

    def to_canonical(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the canonical document of a record, without the missing fields."""
        street = f"{self.address}Street"
        if street in data:
            data = {**data, street: _lines_of(data[street])}
        document = self.fields.to_canonical(data)
        if self.metadata_field is not None and self.metadata_field in data:
            metadata = _metadata_in(data[self.metadata_field])
            document |= {} if metadata is None else {_METADATA: metadata}
        return document

    def from_canonical(self, change: Change) -> dict[str, Any]:
        """Return the fields of the call that makes a change; null empties a field."""
        body, street = self.fields.from_canonical(change), f"{self.address}Street"
        if self.name == CONTACT and change.patch.get("name"):
            first, last = split_name(change.patch["name"], change.memo)
            body |= {"FirstName": first or None, "LastName": last}
        if street in body:
            lines = [body[street].get(line) or "" for line in _LINES]
            body[street] = "\n".join(lines).strip() or None
        if self.metadata_field and _METADATA in change.patch:
            text = _metadata_as_text(change.document.get(_METADATA))
            if text is not None or change.kind is not IntentKind.CREATE:
                body[self.metadata_field] = text
        return body


def object_kind(
    name: str = CONTACT, *, metadata_field: str | None = None, has_codes: bool = False
) -> ObjectKind:
    """Return a contact or an account. `has_codes`: states and countries are codes."""
    address = "Mailing" if name == CONTACT else "Billing"
    fields = FieldMap(*_own_fields(name), _address(address, has_codes), RecordId(EXTERNAL_ID))
    shown = (
        *("Id", "IsDeleted", "MasterRecordId"),
        *_columns(fields),
        *((metadata_field,) if metadata_field else ()),
        *("LastModifiedDate", "SystemModstamp"),
    )
    prefix = CONTACT_PREFIX if name == CONTACT else ACCOUNT_PREFIX
    return ObjectKind(name, prefix, address, fields, shown, metadata_field)


def is_merged(row: Mapping[str, Any]) -> bool:
    """Return whether a record was deleted because it was merged into another one."""
    return bool(row.get("IsDeleted") and row.get("MasterRecordId"))


def condition(version: str) -> dict[str, str]:
    """Return the header of a call that another version of the record refuses."""
    return {"If-Unmodified-Since": formatdate(second(version), usegmt=True)}


def second(text: str) -> int:
    """Return the Unix second of a time in Salesforce's form."""
    # `fromisoformat` reads the offset without a colon, too.
    return int(datetime.fromisoformat(text).timestamp())


def _own_fields(name: str) -> tuple[Field | Split, ...]:
    if name == ACCOUNT:
        return Field("name", "Name"), Field("phone", "Phone")
    split = Split("name", ("FirstName", "LastName"), split=split_name, join=join_name)
    return split, Field("email", "Email"), Field("phone", "Phone")


def _address(prefix: str, has_codes: bool) -> Group:
    end = "Code" if has_codes else ""
    return Group(
        "address",
        {
            **{line: (f"{prefix}Street", line) for line in _LINES},
            "city": f"{prefix}City",
            "state": f"{prefix}State{end}",
            "postal_code": f"{prefix}PostalCode",
            "country": f"{prefix}Country{end}",
        },
    )


def _columns(fields: FieldMap) -> tuple[str, ...]:
    return (EXTERNAL_ID, *(name for name in fields.blank() if name != EXTERNAL_ID))


def _lines_of(street: str | None) -> dict[str, str | None]:
    """Return the first line of a street, and all others."""
    first, *others = re.split(r"\r?\n", street or "", maxsplit=1)
    return {"line1": first, "line2": others[0].replace("\r\n", "\n") if others else None}


def _metadata_in(text: str | None) -> dict[str, str] | None:
    """Return the metadata in a text, None for a text of a person that holds no metadata."""
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    known = {name: value for name, value in found.items() if value is not None}
    return {n: v if isinstance(v, str) else json.dumps(v) for n, v in known.items()}


def _metadata_as_text(metadata: Mapping[str, str] | None) -> str | None:
    """Return metadata as a text that is equal for equal metadata."""
    return json.dumps(metadata, ensure_ascii=False, sort_keys=True) if metadata else None
