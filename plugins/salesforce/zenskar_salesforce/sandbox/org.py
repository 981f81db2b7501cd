"""The records of an org: writes, the recycle bin, and rights."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from zenskar_salesforce.record_ids import long_id

from .object_types import EXTERNAL_ID
from .picklists import agreed
from .problems import Problem, Refused, deleted, refused, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from zenskar.http.lookalike import Store

    from .object_types import ObjectField, ObjectType

Row = dict[str, Any]

BIN_SECONDS = 15 * 86_400
MOST_MERGED = 3


@dataclass(slots=True)
class Rights:
    """The limits of the integration's user: fields, records, and a check of every save.

    A duplicate rule compares the e-mail addresses of new records: `alert` refuses a duplicate
    unless the call allows it, `block` always does.
    """

    hidden: set[str] = field(default_factory=set)
    read_only: set[str] = field(default_factory=set)
    invisible: set[str] = field(default_factory=set)
    before_save: Callable[[Row], None] | None = None
    duplicate_rule: str = ""


class Org:
    """The records of one object, by id. A method that writes says which user writes."""

    def __init__(self, clock: Callable[[], float], store: Store, kind: ObjectType) -> None:
        self._clock, self._store, self.kind = clock, store, kind
        self.rights = Rights()
        self.rows: dict[str, Row] = dict(store.load(kind.name))
        self.changed: Callable[[str, str], None] = lambda *_: None
        self._ids = max((_number(each) for each in self.rows), default=0)

    @property
    def now(self) -> str:
        """Return the present second, as the API shows times."""
        return shown_time(self._clock())

    def create(
        self, values: Mapping[str, Any], user: str, *, allow_duplicates: bool = False
    ) -> str:
        """Create a record and return its id. Raises `Refused`."""
        row = self._cleaned(values, {}, user)
        self._check_duplicates(row, allowed=allow_duplicates)
        self._ids += 1
        identifier = _id(self.kind.prefix, self._ids)
        made: Row = dict.fromkeys(self.kind.fields)
        made |= {"Id": identifier, "IsDeleted": False, "CreatedDate": self.now, "CreatedById": user}
        self._save({**made, **row}, user)
        return identifier

    def update(self, identifier: str, values: Mapping[str, Any], user: str) -> None:
        """Change fields of a record; null empties a field. Raises `Refused`."""
        row = self.living(identifier, user)
        self._save({**row, **self._cleaned(values, row, user)}, user)

    def touch(self, identifier: str) -> None:
        """Move the modification stamp alone, as a system process does."""
        self._put({**self.rows[identifier], "SystemModstamp": self.now})

    def delete(self, identifier: str, user: str) -> None:
        """Put a record into the recycle bin. Raises `Refused`."""
        self._put({**self.living(identifier, user), "IsDeleted": True, **self._stamps(user)})

    def undelete(self, identifier: str, user: str) -> None:
        """Take a record out of the recycle bin, with the same id. Raises `Refused`."""
        row = self.rows[self.found_id(identifier)]
        if not row["IsDeleted"]:
            raise unknown("the record is not deleted")
        back = {**row, "IsDeleted": False, "MasterRecordId": None, **self._stamps(user)}
        self._check_unique(back)
        self._put(back)

    def merge(self, winner: str, losers: list[str], values: Mapping[str, Any], user: str) -> None:
        """Merge one or two records into another; `values` are those that a person chose.

        A chosen external id leaves its loser. Raises `Refused`.
        """
        if not 1 <= len(losers) < MOST_MERGED or winner in losers:
            raise refused("INVALID_NUMBER", "merge two or three different records")
        rows = [self.living(each, user) for each in losers]
        moved = values.get(EXTERNAL_ID)
        for row in rows:
            gone = {**row, "IsDeleted": True, "MasterRecordId": winner, **self._stamps(user)}
            if moved is not None and row[EXTERNAL_ID] == moved:
                gone[EXTERNAL_ID] = None
            self._put(gone)
        self.update(winner, values, user)

    def purge(self, identifier: str) -> None:
        """Remove a record from the recycle bin, without a trace."""
        self.rows.pop(identifier, None)
        self._store.delete(self.kind.name, identifier)

    def empty_bin(self) -> None:
        """Purge records that were deleted more than 15 days ago."""
        oldest = shown_time(self._clock() - BIN_SECONDS)
        old = [i for i, r in self.rows.items() if r["IsDeleted"] and r["SystemModstamp"] < oldest]
        for identifier in old:
            self.purge(identifier)

    def living(self, text: str, user: str) -> Row:
        """Return a record that the user sees. Raises `Refused` for a deleted or a hidden one."""
        row = self.rows.get(self.found_id(text))
        if row is None or (user == self.user and row["Id"] in self.rights.invisible):
            raise unknown()
        if row["IsDeleted"]:
            raise deleted()
        return row

    def found_id(self, text: str) -> str:
        """Return the long form of an id. Raises `Refused` for a text that is no id."""
        identifier = long_id(text)
        if identifier is None:
            raise refused("MALFORMED_ID", f"malformed id {text}")
        if not identifier.startswith(self.kind.prefix):
            raise unknown()
        return identifier

    def with_external_id(self, value: str, user: str) -> list[Row]:
        """Return the living records with an external id; the API ignores its case."""
        return [
            row
            for row in self.visible(user)
            if not row["IsDeleted"] and str(row[EXTERNAL_ID] or "").lower() == value.lower()
        ]

    def visible(self, user: str) -> Iterator[Row]:
        """Yield the records that a user sees, also deleted ones."""
        self.empty_bin()
        limited = user == self.user
        for row in self.rows.values():
            if not (limited and row["Id"] in self.rights.invisible):
                yield row

    @property
    def user(self) -> str:
        """Return the id of the user of the integration."""
        return "005000000000001AAA"

    @property
    def person(self) -> str:
        """Return the id of a person who edits records in the browser."""
        return "005000000000002AAA"

    def shown(self, identifier: str) -> Row:
        """Return the fields of a record that are not hidden, its id alone when it was purged."""
        row = self.rows.get(identifier, {"Id": identifier})
        return {name: value for name, value in row.items() if name not in self.rights.hidden}

    def clear(self) -> None:
        """Remove every record."""
        for identifier in list(self.rows):
            self.purge(identifier)

    def restore(self, rows: Mapping[str, Row]) -> None:
        """Bring back the rows of an earlier moment."""
        for identifier in [each for each in self.rows if each not in rows]:
            self.purge(identifier)
        for identifier, row in rows.items():
            if self.rows.get(identifier) is not row:
                self._put(row)

    def commit(self, row: Row) -> None:
        """Store a row that was stamped before, as a transaction does that commits late."""
        self._put(row)

    def _cleaned(self, values: Mapping[str, Any], before: Row, user: str) -> Row:
        """Return the given values as Salesforce stores them. Raises `Refused`."""
        limited = user == self.user
        cleaned: Row = {}
        forbidden: list[str] = []
        for name, value in values.items():
            if name == "attributes":
                continue
            known = self._settable(name, limited=limited)
            if not known.writable or (limited and known.name in self.rights.read_only):
                forbidden.append(known.name)
                continue
            cleaned[known.name] = known.clean(value)
        if forbidden:
            text = (
                f"Unable to create/update fields: {', '.join(forbidden)}. "
                "Please check the security settings of this field and verify that it is "
                "read/write for your profile or permission set."
            )
            raise refused("INVALID_FIELD_FOR_INSERT_UPDATE", text, *forbidden)
        if self.kind.has_codes:
            cleaned = agreed(before, cleaned, self.kind.address)
        self._check_values(cleaned, {**before, **cleaned})
        return cleaned

    def _settable(self, name: str, *, limited: bool) -> ObjectField:
        known = self.kind.field(name)
        if known is None or (limited and known.name in self.rights.hidden):
            text = f"No such column '{name}' on sobject of type {self.kind.name}"
            raise Refused(400, Problem("INVALID_FIELD", text))
        if known.name == "Id":
            text = "The Id field should not be specified in the sobject data."
            raise Refused(400, Problem("INVALID_FIELD", text))
        return known

    def _check_values(self, changed: Row, whole: Row) -> None:
        """Raise `Refused` with every problem of the changed and the required fields."""
        problems = (
            each.problem(whole.get(each.name))
            for each in self.kind.fields.values()
            if each.writable and (each.name in changed or each.required)
        )
        found = [problem for problem in problems if problem is not None]
        if found:
            raise Refused(400, *found)

    def _save(self, row: Row, user: str) -> None:
        if self.rights.before_save is not None:
            self.rights.before_save(row)
        row |= {"Name": self.kind.full_name(row), **self._stamps(user)}
        self._check_unique(row)
        self._put(row)
        self.changed(row["Id"], user)

    def _check_unique(self, row: Row) -> None:
        value = row[EXTERNAL_ID]
        for other in self.rows.values() if value else ():
            same = str(other[EXTERNAL_ID] or "").lower() == value.lower()
            if same and other["Id"] != row["Id"] and not other["IsDeleted"]:
                text = f"{EXTERNAL_ID} duplicates value on record with id: {other['Id']}"
                raise refused("DUPLICATE_VALUE", f"duplicate value found: {text}")

    def _check_duplicates(self, row: Row, *, allowed: bool) -> None:
        rule, email = self.rights.duplicate_rule, row.get("Email")
        if not rule or not email or (rule == "alert" and allowed):
            return
        if any(each["Email"] == email and not each["IsDeleted"] for each in self.rows.values()):
            text = "Use one of these records?"
            raise refused("DUPLICATES_DETECTED", text)

    def _stamps(self, user: str) -> Row:
        now = self.now
        return {"LastModifiedDate": now, "LastModifiedById": user, "SystemModstamp": now}

    def _put(self, row: Row) -> None:
        self.rows[row["Id"]] = row
        self._store.put(self.kind.name, row["Id"], row)


def shown_time(seconds: float) -> str:
    """Return Unix seconds as the API shows times: whole seconds, and an offset without a colon."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def _id(prefix: str, number: int) -> str:
    made = long_id(f"{prefix}0000{number:08d}")
    if made is None:
        raise ValueError(f"{number} makes no id")
    return made


def _number(identifier: str) -> int:
    return int(identifier[7:15])
