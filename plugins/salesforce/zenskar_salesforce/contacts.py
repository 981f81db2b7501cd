"""Translate contacts between Salesforce's form and the canonical form.

A name is two fields there, and an address has one street of several lines. Salesforce trims texts,
and shows an empty text as null.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import formatdate
from typing import Any

from zenskar import Change, ExternalObject, Interval
from zenskar.fields import Field, FieldMap, Group, RecordId, Split
from zenskar.http import BadAnswer
from zenskar_salesforce.failures import EXTERNAL_ID
from zenskar_salesforce.record_ids import long_id

ENTITY = "customer"
MOST_FIRST, MOST_LAST = 40, 80
"""The lengths of FirstName and LastName."""

_STREET = "MailingStreet"
_LINES = ("line1", "line2")


def split_name(name: str, memo: Mapping[str, Any] | None = None) -> tuple[str, str]:
    """Return the first and the last name of a name.

    The split of `memo` stays where the name keeps one of its parts. Otherwise the last word is the
    last name.
    """
    name = name.strip()
    first, last = (str((memo or {}).get(part) or "") for part in ("first", "last"))
    if first and name.startswith(f"{first} ") and len(name) - len(first) - 1 <= MOST_LAST:
        return first, name[len(first) + 1 :].strip()
    if last and name.endswith(f" {last}") and len(name) - len(last) - 1 <= MOST_FIRST:
        return name[: -len(last) - 1].strip(), last
    before, _, word = name.rpartition(" ")
    return before.strip(), word


def join_name(first: str, last: str) -> str:
    """Return the name of a first and a last name."""
    return f"{first} {last}".strip()


FIELDS = FieldMap(
    Split("name", ("FirstName", "LastName"), split=split_name, join=join_name),
    Field("email", "Email"),
    Field("phone", "Phone"),
    Group(
        "address",
        {
            **{line: (_STREET, line) for line in _LINES},
            "city": "MailingCity",
            "state": "MailingState",
            "postal_code": "MailingPostalCode",
            "country": "MailingCountry",
        },
    ),
    RecordId(EXTERNAL_ID),
)
COLUMNS = (
    *("Id", "IsDeleted", "MasterRecordId", EXTERNAL_ID, "FirstName", "LastName", "Email", "Phone"),
    *(_STREET, "MailingCity", "MailingState", "MailingPostalCode", "MailingCountry"),
    *("LastModifiedDate", "SystemModstamp"),
)
"""The fields that every call reads, named one by one: a field that is hidden is then refused."""


def seen(row: Mapping[str, Any], answered_at: int | None = None) -> ExternalObject:
    """Return a contact as an external object, without data when it is deleted or was merged.

    Raises `BadAnswer` for an answer that is no contact.
    """
    identifier = long_id(str(row.get("Id")))
    if identifier is None or not isinstance(row.get("IsDeleted"), bool):
        raise BadAnswer("GET", problem="no contact")
    stamp, modified = row.get("SystemModstamp"), row.get("LastModifiedDate")
    data = {name: row.get(name) for name in COLUMNS if name in row}
    record_id = FIELDS.record_id(row)
    if row["IsDeleted"]:
        into = long_id(str(row.get("MasterRecordId")))
        return ExternalObject(ENTITY, identifier, None, record_id, answered_at, merged_into=into)
    return ExternalObject(
        ENTITY,
        identifier,
        data,
        record_id,
        answered_at,
        Interval.of_second(second(stamp)) if isinstance(stamp, str) else None,
        modified if isinstance(modified, str) else None,
        _memo(row),
    )


def is_merged(row: Mapping[str, Any]) -> bool:
    """Return whether a contact was deleted because it was merged into another one."""
    return bool(row.get("IsDeleted") and row.get("MasterRecordId"))


def to_canonical(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the canonical document of a contact, without the missing fields."""
    if _STREET not in data:
        return FIELDS.to_canonical(data)
    lines = re.split(r"\r?\n", data[_STREET] or "", maxsplit=1)
    street = dict(zip(_LINES, [*lines, None], strict=False))
    if street["line2"]:
        street["line2"] = street["line2"].replace("\r\n", "\n")
    return FIELDS.to_canonical({**data, _STREET: street})


def from_canonical(change: Change) -> dict[str, Any]:
    """Return the fields of the call that makes a change; null empties a field."""
    body = FIELDS.from_canonical(change)
    if change.patch.get("name"):
        first, last = split_name(change.patch["name"], change.memo)
        body |= {"FirstName": first or None, "LastName": last}
    if _STREET in body:
        lines = [body[_STREET].get(line) or "" for line in _LINES]
        body[_STREET] = "\n".join(lines).strip() or None
    return body


def condition(version: str) -> dict[str, str]:
    """Return the header of a call that another version of the contact refuses."""
    return {"If-Unmodified-Since": formatdate(second(version), usegmt=True)}


def second(text: str) -> int:
    """Return the Unix second of a time in Salesforce's form."""
    # `fromisoformat` reads the offset without a colon, too.
    return int(datetime.fromisoformat(text).timestamp())


def _memo(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the split of a name, nothing for the split that the name itself shows."""
    first, last = (str(row.get(name) or "") for name in ("FirstName", "LastName"))
    if split_name(join_name(first, last)) == (first, last):
        return {}
    return {"first": first, "last": last}
