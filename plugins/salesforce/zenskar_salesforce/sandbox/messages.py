"""Send Outbound Messages as SOAP, and send them again until their receiver acknowledges them."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from xml.etree.ElementTree import ParseError
from xml.etree.ElementTree import fromstring as parsed_xml
from xml.sax.saxutils import escape

import aiohttp

from zenskar_salesforce.record_ids import long_id

if TYPE_CHECKING:
    from .org import Org, Row

_SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
_OUTBOUND: Final = "http://soap.sforce.com/2005/09/outbound"
_ACK: Final = f"{{{_SOAP}}}Body/{{{_OUTBOUND}}}notificationsResponse/{{{_OUTBOUND}}}Ack"
_HEADERS: Final = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
_MOST_ATTEMPTS: Final = 20
_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class SentMessage:
    """An attempt to send a message: its notifications, and whether they were acknowledged."""

    notifications: tuple[str, ...]
    acknowledged: bool
    status: int | None


@dataclass(slots=True)
class MessageHabits:
    """The rules of the sender: seconds until the first repetition, copies, order, and fields."""

    retry_seconds: float = 1.0
    copies: int = 1
    shuffled: bool = False
    together: int = 100
    fields: tuple[str, ...] = ("Id", "FirstName", "LastName", "Email", "SystemModstamp")


class OutboundMessages:
    """Sends a notification for each change of a contact that was not made by the integration."""

    def __init__(self, org: Org, seed: int = 0) -> None:
        self._org = org
        self.url: str | None = None
        self.habits = MessageHabits()
        self.sent: list[SentMessage] = []
        self._waiting: list[tuple[str, str]] = []
        self._numbers = 0
        self._rng = random.Random(seed)  # noqa: S311 - the order of a test double
        self._tasks: set[asyncio.Task[None]] = set()

    def changed(self, identifier: str, user: str) -> None:
        """Note a change of a contact; a delete sends no message."""
        if self.url is None or user == self._org.user or self._org.rows[identifier]["IsDeleted"]:
            return
        self._numbers += 1
        number = long_id(f"04l0000{self._numbers:08d}") or ""
        self._waiting.append((number, identifier))
        task = asyncio.get_running_loop().create_task(self._flush())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Wait until every message is acknowledged or dropped."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Stop sending."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def message(self, notifications: list[tuple[str, str]], **changes: str) -> str:
        """Return a message with the present state of its contacts; empty fields are left out."""
        organization = changes.get("organization", self._org.id)
        shown = "".join(self._notification(*each) for each in notifications)
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            f'<soapenv:Envelope xmlns:soapenv="{_SOAP}" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
            f'<notifications xmlns="{_OUTBOUND}">'
            f"<OrganizationId>{organization}</OrganizationId><ActionId>04k000000000001AAA</ActionId>"
            '<SessionId xsi:nil="true"/><EnterpriseUrl>https://x.example</EnterpriseUrl>'
            f"<PartnerUrl>https://x.example</PartnerUrl>{shown}</notifications>"
            "</soapenv:Body></soapenv:Envelope>"
        )

    def _notification(self, number: str, identifier: str) -> str:
        row: Row = self._org.rows.get(identifier, {"Id": identifier})
        hidden = self._org.rights.hidden
        shown = "".join(
            f"<sf:{name}>{escape(str(row[name]))}</sf:{name}>"
            for name in self.habits.fields
            if row.get(name) is not None and name not in hidden
        )
        return (
            f'<Notification><Id>{number}</Id><sObject xsi:type="sf:Contact" '
            f'xmlns:sf="urn:sobject.enterprise.soap.sforce.com">{shown}</sObject></Notification>'
        )

    async def _flush(self) -> None:
        batch = self._waiting[: self.habits.together]
        del self._waiting[: len(batch)]
        if not batch:
            return
        if self.habits.shuffled:
            self._rng.shuffle(batch)
        for _ in range(self.habits.copies):
            await self._deliver(batch)

    async def _deliver(self, batch: list[tuple[str, str]]) -> None:
        pause = self.habits.retry_seconds
        for _ in range(_MOST_ATTEMPTS):
            status, acknowledged = await self._post(self.message(batch))
            numbers = tuple(number for number, _ in batch)
            self.sent.append(SentMessage(numbers, acknowledged, status))
            if acknowledged:
                return
            await asyncio.sleep(pause)
            pause *= 2

    async def _post(self, text: str) -> tuple[int | None, bool]:
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as http,
                http.post(self.url or "", data=text.encode(), headers=_HEADERS) as answer,
            ):
                return answer.status, answer.status == 200 and is_acknowledgement(
                    await answer.text()
                )
        except (aiohttp.ClientError, OSError):
            return None, False


def is_acknowledgement(text: str) -> bool:
    """Return whether a text is the answer that Salesforce demands."""
    try:
        found: Any = parsed_xml(text).find(_ACK)  # noqa: S314 - the answer of a test
    except ParseError:
        return False
    return found is not None and found.text == "true"
