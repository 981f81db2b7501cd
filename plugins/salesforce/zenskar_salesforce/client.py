"""Call the REST API: queries and composites."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from zenskar import Usage
from zenskar.http import BadAnswer, Client, ClientLimits, HttpAnswer, HttpError
from zenskar_salesforce.config import Config
from zenskar_salesforce.failures import code_of
from zenskar_salesforce.login import Login

_USAGE = re.compile(r"api-usage=([0-9]{1,12})/([0-9]{1,12})")
MOST_PARTS = 25
"""The most parts of a composite."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a composite; `path` may refer to the answer of an earlier part."""

    name: str
    method: str
    path: str
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of a query. `done`: no row is left, unless the query has a limit."""

    records: Sequence[Mapping[str, Any]] = field(repr=False)
    done: bool
    answered_at: int | None
    next_path: str | None = None


class SalesforceApi:
    """The calls that the integration makes; each is made once.

    `kind` is the object that the connection syncs. `usage` is the number of calls in 24 hours, of
    all applications of the org.
    Every method raises `HttpError`, and `CallFailed` for a login that cannot be used.
    """

    def __init__(self, config: Config) -> None:
        self._login = Login(config)
        self.usage: tuple[Usage, ...] = ()
        self.kind = config.kind
        self._root = f"/services/data/v{config.api_version}"
        self._client = Client(
            config.domain,
            self._login.renew,
            limits=ClientLimits(seconds=config.timeout_seconds),
            allow_http=config.allow_http,
            code=code_of,
        )

    @property
    def org_id(self) -> str | None:
        """Return the org of the last token, None before the first call."""
        return self._login.org_id

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
        await self._login.close()

    async def limits(self) -> HttpAnswer:
        """Return the limits of the org; the call needs no right but that to the API."""
        return await self._call("GET", f"{self._root}/limits")

    async def query(self, text: str, *, deleted: bool = False) -> Rows:
        """Return the first page of a query, with rows in the recycle bin on request."""
        kind = "queryAll" if deleted else "query"
        return _rows(await self._call("GET", f"{self._root}/{kind}", params={"q": text}))

    async def query_whole(self, text: str, *, deleted: bool = False) -> Rows:
        """Return all pages of a query with few rows: a page may be shorter than asked."""
        rows = await self.query(text, deleted=deleted)
        while not rows.done and rows.next_path is not None:
            page = _rows(await self._call("GET", rows.next_path))
            rows = replace(page, records=[*rows.records, *page.records])
        return rows

    async def composite(self, *parts: Part) -> list[HttpAnswer]:
        """Make several calls in one, which counts as one; return the answer of each part."""
        body = {
            "allOrNone": False,
            "collateSubrequests": False,
            "compositeRequest": [self._shown(part) for part in parts],
        }
        answer = await self._call("POST", f"{self._root}/composite", json=body)
        given = answer.body.get("compositeResponse") if isinstance(answer.body, dict) else None
        listed = given if isinstance(given, list) else []
        found = {each.get("referenceId"): each for each in listed if isinstance(each, dict)}
        try:
            return [_answer(found[part.name], answer) for part in parts]
        except (KeyError, TypeError, ValueError):
            raise BadAnswer("POST", answer, problem="no composite") from None

    async def _call(self, method: str, path: str, **options: Any) -> HttpAnswer:
        """Make a call, and note the number of calls in the answer, also in that of a refusal."""
        try:
            answer = await self._client.request(method, path, **options)
        except HttpError as error:
            self._note(error.answer)
            raise
        self._note(answer)
        return answer

    def _note(self, answer: HttpAnswer | None) -> None:
        found = _USAGE.search(answer.headers.get("Sforce-Limit-Info", "")) if answer else None
        if found is not None:
            self.usage = (Usage(int(found[1]), int(found[2])),)

    def _shown(self, part: Part) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "method": part.method,
            "url": self._root + part.path,
            "referenceId": part.name,
        }
        if part.body is not None:
            shown["body"] = dict(part.body)
        if part.headers:
            shown["httpHeaders"] = dict(part.headers)
        return shown


def _rows(answer: HttpAnswer) -> Rows:
    body = answer.body if isinstance(answer.body, dict) else {}
    records, path = body.get("records"), body.get("nextRecordsUrl")
    if not isinstance(records, list):
        raise BadAnswer("GET", answer, problem="no records")
    known = path if isinstance(path, str) and path.startswith("/") else None
    # A row that is no object is a record without fields, which the caller judges.
    rows = [row if isinstance(row, dict) else {} for row in records]
    return Rows(rows, body.get("done") is not False, answer.answered_at, known)


def _answer(given: Mapping[str, Any], whole: HttpAnswer) -> HttpAnswer:
    # The parts have no clock of their own.
    date = whole.headers.get("Date")
    headers = {} if date is None else {"Date": date}
    return HttpAnswer(int(given["httpStatusCode"]), given.get("body"), headers)
