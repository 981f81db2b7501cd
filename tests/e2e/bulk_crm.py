"""A variant of the CRM that takes many changes in one call."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from aiohttp import web

from plugins.template.tests.crm import Crm
from zenskar import (
    CallFailed,
    CallLimit,
    ExternalObject,
    Failure,
    FailureKind,
    Push,
    PushResult,
    Usage,
)
from zenskar.http.lookalike import Record
from zenskar_template import TemplateIntegration


class BulkCrm(Crm):
    """Takes many changes in one call, and then shows the number of calls of all applications.

    `hangs` at a bulk call never answers it, before or after its effect; `arrived` is then set.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.bulks: list[int] = []
        self.others = 0
        self.hangs: str | None = None
        self.arrived, self._stopped = asyncio.Event(), asyncio.Event()

    def routes(self) -> Iterable[web.RouteDef]:
        """Return the route of bulk calls too."""
        return (*super().routes(), web.post("/bulk", self._bulk))

    async def __aexit__(self, *error: object) -> None:
        self._stopped.set()
        await super().__aexit__(*error)

    async def _bulk(self, request: web.Request) -> web.Response:
        lines = (await request.json())["lines"]
        await self._hang("before")
        self.bulks.append(len(lines))
        answer = web.json_response({"lines": [self._line(**line) for line in lines]})
        answer.headers["Api-Usage"] = str(self.others + len(list(self.requests)))
        await self._hang("after")
        return answer

    async def _hang(self, when: str) -> None:
        if self.hangs == when:
            self.arrived.set()
            await self._stopped.wait()
            raise web.HTTPServiceUnavailable

    def _line(self, kind: str, contact_id: str | None, fields: Record) -> dict[str, Any]:
        if contact_id is None:
            taken = {each["external_ref"] for each in self.contacts.values()}
            if fields["external_ref"] in taken:
                return {"status": 409}
            return {"status": 201, "contact": self.contacts[self.add(**fields)]}
        if missing := self._missing(contact_id):
            return {"status": missing.status}
        contact = self.contacts[contact_id]
        if kind == "delete":
            self.remove(contact_id)
            return {"status": 200, "contact": contact}
        self.edit(contact_id, **fields)
        return {"status": 200, "contact": self.contacts[contact_id]}


class BulkIntegration(TemplateIntegration):
    """The CRM with many changes in one call, and a budget of calls."""

    push_many_limit: ClassVar[int] = 50
    call_limits: ClassVar[tuple[CallLimit, ...]] = (CallLimit(calls=1000, seconds=86_400),)
    _used: tuple[Usage, ...] = ()

    async def push_many(self, pushes: Sequence[Push]) -> Sequence[PushResult | Exception]:
        """Send a line for each push."""
        lines = [
            {"kind": push.kind, "contact_id": push.external_id, "fields": push.body}
            for push in pushes
        ]
        answer = await self._crm.request("POST", "/bulk", json={"lines": lines})
        self._used = (Usage(int(answer.headers["Api-Usage"])),)
        results = zip(pushes, answer.body["lines"], strict=True)
        return [_pushed(push, line) for push, line in results]

    def usage(self) -> Sequence[Usage]:
        """Return the calls of the last bulk answer."""
        return self._used


_LINES = {
    404: FailureKind.NOT_VISIBLE,
    409: FailureKind.UNKNOWN_OUTCOME,
    410: FailureKind.GONE,
}


def _pushed(push: Push, line: Mapping[str, Any]) -> PushResult | Exception:
    if kind := _LINES.get(line["status"]):
        return CallFailed(Failure(kind, f"the CRM answered {line['status']}"))
    seen = _seen(push.entity_type, line["contact"])
    return PushResult(replace(seen, data=None) if push.kind == "delete" else seen)


def _seen(entity_type: str, contact: Mapping[str, Any]) -> ExternalObject:
    return ExternalObject(entity_type, contact["id"], contact, contact["external_ref"])
