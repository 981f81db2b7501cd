"""Read Outbound Messages, which Salesforce sends as SOAP when a record changes.

A message has no signature, and no order: it shows the state at its sending, or an older one. So
only its ids are read, and the record is fetched. The address of the messages holds a token.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from xml.parsers import expat

from zenskar import InvalidInput, ObjectRef, WebhookAnswer, WebhookEvent
from zenskar_salesforce.object_kinds import ENTITY, ObjectKind
from zenskar_salesforce.record_ids import long_id

_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_OUTBOUND = "http://soap.sforce.com/2005/09/outbound"
_OBJECT = "urn:sobject.enterprise.soap.sforce.com"
_MESSAGE = (f"{_SOAP} Envelope", f"{_SOAP} Body", f"{_OUTBOUND} notifications")
_ORGANIZATION = (*_MESSAGE, f"{_OUTBOUND} OrganizationId")
_NOTIFICATION = (*_MESSAGE, f"{_OUTBOUND} Notification")
_NOTIFICATION_ID = (*_NOTIFICATION, f"{_OUTBOUND} Id")
_OBJECT_ID = (*_NOTIFICATION, f"{_OUTBOUND} sObject", f"{_OBJECT} Id")
_MOST_LEVELS, _MOST_NOTIFICATIONS = 16, 100

ACKNOWLEDGEMENT = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    f'<soapenv:Envelope xmlns:soapenv="{_SOAP}"><soapenv:Body>'
    f'<notificationsResponse xmlns="{_OUTBOUND}"><Ack>true</Ack></notificationsResponse>'
    "</soapenv:Body></soapenv:Envelope>"
)


def read(body: bytes) -> dict[str, Any]:
    """Return the ids of a message as JSON values. Raises `InvalidInput` for any other XML."""
    reader = _Reader()
    try:
        reader.parse(body)
    except (expat.ExpatError, ValueError):
        raise InvalidInput("the body is no Outbound Message") from None
    if not reader.notifications:
        raise InvalidInput("the body has no notification")
    return {"organization": reader.organization, "notifications": reader.notifications}


def events(body: Mapping[str, Any], org_id: str | None, kind: ObjectKind) -> Iterator[WebhookEvent]:
    """Yield an event for each notification; `org_id` is that of our org, None for any.

    A notification without an id is ignored alone: the feed shows its record.
    """
    foreign = org_id is not None and long_id(body["organization"]) != org_id
    for each in body["notifications"]:
        if not each["id"]:
            yield WebhookEvent(None, f"{kind.name.lower()}.message", ignored="no_id")
            continue
        external_id = long_id(each["object"])
        ignored = "other_org" if foreign else None
        if external_id is None or not external_id.startswith(kind.prefix):
            ignored = ignored or "other_object"
        touched = ObjectRef(ENTITY, external_id) if external_id and not ignored else None
        yield WebhookEvent(
            each["id"], f"{kind.name.lower()}.message", ignored=ignored, touched=touched
        )


def acknowledgement() -> WebhookAnswer:
    """Return the only answer after which Salesforce does not send a message again."""
    return WebhookAnswer(ACKNOWLEDGEMENT, "text/xml; charset=utf-8")


class _Reader:
    """Collects the ids of a message. An entity or a document type is refused."""

    def __init__(self) -> None:
        self.organization = ""
        self.notifications: list[dict[str, str]] = []
        self._path: tuple[str, ...] = ()
        self._text: list[str] = []
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartDoctypeDeclHandler = _refuse
        self._parser.EntityDeclHandler = _refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text_of

    def parse(self, body: bytes) -> None:
        """Collect the ids. Raises `ExpatError`, and `ValueError` for what no message holds."""
        self._parser.Parse(body, True)  # noqa: FBT003 - positional only

    def _start(self, name: str, _: Any) -> None:
        if len(self._path) == _MOST_LEVELS or len(self.notifications) > _MOST_NOTIFICATIONS:
            raise ValueError("the message is too deep or too long")
        self._path = (*self._path, name)
        self._text = []
        if self._path == _NOTIFICATION:
            self.notifications.append({"id": "", "object": ""})

    def _text_of(self, text: str) -> None:
        self._text.append(text)

    def _end(self, _: str) -> None:
        text = "".join(self._text).strip()
        if self._path == _ORGANIZATION:
            self.organization = text
        elif self._path == _NOTIFICATION_ID:
            self.notifications[-1]["id"] = text
        elif self._path == _OBJECT_ID:
            self.notifications[-1]["object"] = text
        self._path, self._text = self._path[:-1], []


def _refuse(*_: Any) -> None:
    raise ValueError("a document type is no part of a message")
