"""Outbound Messages: SOAP about changed records, with their state at the sending."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from xml.etree.ElementTree import ParseError
from xml.etree.ElementTree import fromstring as parsed_xml
from xml.sax.saxutils import escape

from zenskar_salesforce.record_ids import long_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from zenskar.http.lookalike import Background, EventStore, Record

    from .org import Org

MESSAGE: Final = "outbound_message"
"""The type of the events that are messages."""
HEADERS: Final = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
MOST_TOGETHER: Final = 100
_SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
_OUTBOUND: Final = "http://soap.sforce.com/2005/09/outbound"
_ACK: Final = f"{{{_SOAP}}}Body/{{{_OUTBOUND}}}notificationsResponse/{{{_OUTBOUND}}}Ack"
_FIELDS: Final = ("Id", "FirstName", "LastName", "Name", "Email", "SystemModstamp")


class OutboundMessages:
    """Sends a notification for each change of a record that was not made by the integration."""

    def __init__(
        self,
        org: Org,
        events: EventStore,
        background: Background,
        emit: Callable[[Record], None],
    ) -> None:
        self._org, self._events, self._background, self._emit = org, events, background, emit
        self._waiting: list[tuple[str, str]] = []
        sent = (each for event in events.by_id.values() for each in event["notifications"])
        self._numbers = max((int(number[3:15]) for number, _ in sent), default=0)

    def changed(self, identifier: str, user: str) -> None:
        """Note a change of a record; a delete sends no message."""
        if user == self._org.user or self._org.rows[identifier]["IsDeleted"]:
            return
        if not self._events.wanted(MESSAGE):
            return
        self._numbers += 1
        self._waiting.append((long_id(f"04l{self._numbers:012d}") or "", identifier))
        self._background.spawn(self._flush())

    async def _flush(self) -> None:
        batch = self._waiting[:MOST_TOGETHER]
        del self._waiting[: len(batch)]
        if batch:
            self._emit({"id": batch[0][0], "type": MESSAGE, "notifications": batch})


def message(
    org_id: str,
    notifications: Sequence[tuple[str, str]],
    rows: Mapping[str, Mapping[str, Any]],
    *,
    object_name: str = "Contact",
) -> bytes:
    """Return a message about records; empty fields are left out."""
    shown = "".join(
        _notification(number, object_name, rows.get(each, {"Id": each}))
        for number, each in notifications
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<soapenv:Envelope xmlns:soapenv="{_SOAP}" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
        f'<notifications xmlns="{_OUTBOUND}">'
        f"<OrganizationId>{org_id}</OrganizationId><ActionId>04k000000000001AAA</ActionId>"
        '<SessionId xsi:nil="true"/><EnterpriseUrl>https://x.example</EnterpriseUrl>'
        f"<PartnerUrl>https://x.example</PartnerUrl>{shown}</notifications>"
        "</soapenv:Body></soapenv:Envelope>"
    ).encode()


def _notification(number: str, object_name: str, row: Mapping[str, Any]) -> str:
    shown = "".join(
        f"<sf:{name}>{escape(str(row[name]))}</sf:{name}>"
        for name in _FIELDS
        if row.get(name) is not None
    )
    return (
        f'<Notification><Id>{number}</Id><sObject xsi:type="sf:{object_name}" '
        f'xmlns:sf="urn:sobject.enterprise.soap.sforce.com">{shown}</sObject></Notification>'
    )


def is_acknowledgement(text: str) -> bool:
    """Return whether a text is the answer that Salesforce demands."""
    try:
        found: Any = parsed_xml(text).find(_ACK)  # noqa: S314 - the answer of a test
    except ParseError:
        return False
    return found is not None and found.text == "true"
