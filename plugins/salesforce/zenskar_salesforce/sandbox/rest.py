"""The REST API below `/services/data`: rows, queries and descriptions."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from . import soql, soql_filter
from .object_types import EXTERNAL_ID
from .problems import Problem, Refused, deleted, refused, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from .allowance import Allowance
    from .org import Org, Row

NEWEST: Final = 66
OLDEST: Final = 31
MOST_ROWS: Final = 2000
_UPSERT_ANSWERS_SINCE: Final = 46
_PATH = re.compile(r"/services/data/v(?P<version>\d{2})\.0(?P<rest>/.*)?")


@dataclass(frozen=True, slots=True)
class RestCall:
    """A call of the API, also as a part of a composite; names of headers are in lower case."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of a call; `body` None is an answer without a body."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Habits:
    """The behaviour of the org where Salesforce's documents leave a choice, or an admin has one.

    `page_rows` is the largest page of a query. `shows_bin`: a GET of a deleted record returns the
    record instead of a refusal.
    """

    page_rows: int = MOST_ROWS
    shows_bin: bool = False


class Rest:
    """Answers calls for the records of an org."""

    def __init__(self, org: Org, allowance: Allowance, habits: Habits) -> None:
        self.org, self._allowance, self._habits = org, allowance, habits
        self._cursors: dict[str, list[Row]] = {}

    def answer(self, call: RestCall) -> Reply:
        """Answer a call, also a refused one."""
        try:
            return self._route(call)
        except Refused as error:
            return Reply(error.status, error.body)

    def _route(self, call: RestCall) -> Reply:
        found = _PATH.fullmatch(call.path)
        if found is None:
            raise unknown()
        version = int(found["version"])
        if version < OLDEST:
            raise Refused(410, Problem("UNSUPPORTED_API_VERSION", "version is retired"))
        if version > NEWEST:
            raise unknown()
        parts = [unquote(part) for part in (found["rest"] or "").strip("/").split("/")]
        return self._known(call, version, parts)

    def _known(self, call: RestCall, version: int, parts: list[str]) -> Reply:
        match parts:
            case ["limits"]:
                return Reply(200, {"DailyApiRequests": self._limits()})
            case ["query" | "queryAll" as kind]:
                return self._query(call, version, everything=kind == "queryAll")
            case ["query" | "queryAll", cursor]:
                return Reply(200, self._page(version, cursor))
            case ["sobjects"]:
                return Reply(200, {"encoding": "UTF-8", "sobjects": [{"name": self._object_name}]})
            case ["sobjects", name, *rest] if name.lower() == self._object_name.lower():
                return self._object(call, version, rest)
        raise unknown()

    def _object(self, call: RestCall, version: int, rest: list[str]) -> Reply:
        if rest == [EXTERNAL_ID]:
            raise Refused(405, Problem("METHOD_NOT_ALLOWED", "HTTP Method not allowed."))
        match call.method, rest:
            case "GET", ["describe"]:
                return Reply(200, self._described())
            case "POST", []:
                rule = call.headers.get("sforce-duplicate-rule-header", "")
                allowed = "allowsave=true" in rule.lower().replace(" ", "")
                identifier = self.org.create(_given(call), self.org.user, allow_duplicates=allowed)
                return Reply(201, {"id": identifier, "success": True, "errors": []})
            case "GET", [*path]:
                return self._get(call, version, self._id_at(path))
            case "PATCH", [name, value] if name == EXTERNAL_ID:
                return self._upsert(call, version, value)
            case "PATCH" | "DELETE", [identifier]:
                self._write(call, identifier)
                return Reply(204)
        raise unknown()

    def _id_at(self, path: list[str]) -> str:
        """Return the id at a path: an id, or the external id and its value."""
        if len(path) == 1:
            return path[0]
        if len(path) != 2 or path[0] != EXTERNAL_ID:
            raise unknown()
        return str(self._by_external_id(path[1])["Id"])

    def _write(self, call: RestCall, identifier: str) -> None:
        if call.method == "DELETE":
            self.org.delete(identifier, self.org.user)
            return
        self._check_unmodified(call, self.org.living(identifier, self.org.user))
        self.org.update(identifier, _given(call), self.org.user)

    def _get(self, call: RestCall, version: int, text: str) -> Reply:
        row = self._readable(text)
        names = call.params.get("fields")
        wanted = (
            [name.strip() for name in names.split(",")] if names else list(self.org.kind.fields)
        )
        fields = [self.org.kind.field(name) for name in wanted]
        hidden = self.org.rights.hidden
        for name, known in zip(wanted, fields, strict=True):
            if names and (known is None or known.name in hidden):
                text = f"No such column '{name}' on sobject of type {self._object_name}"
                raise Refused(400, Problem("INVALID_FIELD", text))
        since = _condition(call, "if-modified-since")
        if since and soql_filter.moment(row["LastModifiedDate"]) <= since:
            return Reply(304)
        self._check_unmodified(call, row)
        shown = {f.name: row[f.name] for f in fields if f is not None and f.name not in hidden}
        return Reply(200, {**self._attributes(version, row["Id"]), **shown, "Id": row["Id"]})

    def _readable(self, text: str) -> Row:
        identifier = self.org.found_id(text)
        row = self.org.rows.get(identifier)
        if row is None or identifier in self.org.rights.invisible:
            raise unknown()
        if row["IsDeleted"] and not self._habits.shows_bin:
            raise deleted()
        return row

    def _by_external_id(self, value: str) -> Row:
        found = self.org.with_external_id(value, self.org.user)
        if not found:
            raise unknown()
        return found[0]

    def _upsert(self, call: RestCall, version: int, value: str) -> Reply:
        given = _given(call)
        if EXTERNAL_ID in given:
            text = f"The {EXTERNAL_ID} field should not be specified in the sobject data."
            raise Refused(400, Problem("INVALID_FIELD", text))
        try:
            identifier = self._by_external_id(value)["Id"]
        except Refused as error:
            if error.status != 404 or call.params.get("updateOnly") == "true":
                raise
            identifier = self.org.create({**given, EXTERNAL_ID: value}, self.org.user)
            return Reply(201, {"id": identifier, "success": True, "errors": [], "created": True})
        self.org.update(identifier, given, self.org.user)
        if version < _UPSERT_ANSWERS_SINCE:
            return Reply(204)
        return Reply(200, {"id": identifier, "success": True, "errors": [], "created": False})

    def _query(self, call: RestCall, version: int, *, everything: bool) -> Reply:
        parsed = soql.parse(call.params.get("q", ""))
        rows = (
            row for row in self.org.visible(self.org.user) if everything or not row["IsDeleted"]
        )
        # The id leads to the record, also in a query that does not name it.
        whole = soql.Query((*parsed.fields, "Id"), *_rest_of(parsed))
        found = soql_filter.run(whole, rows, self.org.kind, self.org.rights.hidden)
        shows_id = any(name.lower() == "id" for name in parsed.fields)
        cursor = f"01g{secrets.token_hex(7)}a"
        self._cursors[cursor] = [self._record(version, row, shows_id=shows_id) for row in found]
        return Reply(200, self._page(version, f"{cursor}-0"))

    def _page(self, version: int, cursor: str) -> dict[str, Any]:
        name, _, start = cursor.partition("-")
        rows = self._cursors.get(name)
        if rows is None or not start.isdigit():
            raise Refused(400, Problem("INVALID_QUERY_LOCATOR", "invalid query locator"))
        end = int(start) + self._habits.page_rows
        page = {"totalSize": len(rows), "done": end >= len(rows), "records": rows[int(start) : end]}
        if page["done"]:
            return page
        return {**page, "nextRecordsUrl": f"/services/data/v{version}.0/query/{name}-{end}"}

    def _limits(self) -> dict[str, int]:
        left = self._allowance.limit - self._allowance.used
        return {"Max": self._allowance.limit, "Remaining": left}

    def _described(self) -> dict[str, Any]:
        rights = self.org.rights
        fields = [
            {
                "name": each.name,
                "type": each.kind,
                "length": each.length,
                "createable": each.writable and each.name not in rights.read_only,
                "updateable": each.writable and each.name not in rights.read_only,
                "nillable": not each.required,
                "unique": each.unique,
                "externalId": each.unique,
            }
            for each in self.org.kind.fields.values()
            if each.name not in rights.hidden
        ]
        return {"name": self._object_name, "fields": fields, "createable": True, "updateable": True}

    @property
    def _object_name(self) -> str:
        return self.org.kind.name

    def _record(self, version: int, row: Row, *, shows_id: bool) -> Row:
        shown = row if shows_id else {name: value for name, value in row.items() if name != "Id"}
        return {**self._attributes(version, row["Id"]), **shown}

    def _attributes(self, version: int, identifier: str) -> dict[str, Any]:
        url = f"/services/data/v{version}.0/sobjects/{self._object_name}/{identifier}"
        return {"attributes": {"type": self._object_name, "url": url}}

    def _check_unmodified(self, call: RestCall, row: Row) -> None:
        since = _condition(call, "if-unmodified-since")
        if since and soql_filter.moment(row["LastModifiedDate"]) > since:
            raise Refused(412)


def _given(call: RestCall) -> dict[str, Any]:
    if not isinstance(call.body, dict):
        raise Refused(400, Problem("JSON_PARSER_ERROR", "The HTTP entity body is required"))
    return call.body


def _rest_of(query: soql.Query) -> tuple[Any, ...]:
    return query.object_name, query.where, query.orders, query.limit


def _condition(call: RestCall, name: str) -> datetime | None:
    text = call.headers.get(name)
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        raise refused("INVALID_HEADER", f"the header {name} is no date") from None
