"""Variants of the CRM by their webhooks: a signed URL, XML with a token, a form, a challenge."""

import hmac
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode
from xml.etree import ElementTree as ET

from plugins.template.tests.crm import Crm
from zenskar import (
    ExternalObject,
    Interval,
    InvalidInput,
    ObjectRef,
    WebhookAnswer,
    WebhookEvent,
    WebhookRequest,
)
from zenskar.http.lookalike import Record
from zenskar.webhooks import verify_age, verify_hmac, verify_token
from zenskar_template import FIELDS, TemplateIntegration

SECRET = "crm_secret"
ACK = "<Ack>true</Ack>"


def sign_url(url: str, body: bytes, at: int) -> dict[str, str]:
    """Return the headers of a webhook whose signature covers method, URL, body and time."""
    timestamp = f"{at}000"
    signed = b"".join((b"POST", url.encode(), body, timestamp.encode()))
    signature = b64encode(hmac.digest(SECRET.encode(), signed, "sha256")).decode()
    return {"X-Timestamp": timestamp, "X-Signature": signature}


class UrlSigningCrm(Crm):
    """Signs the URL too, and names contacts in an array, without ids of events."""

    def encode(self, event: Record) -> bytes:
        return json.dumps([{"kind": event["type"], "contact": event["contact"]["id"]}]).encode()

    def sign(self, body: bytes, at: int, secret: str, url: str = "") -> Mapping[str, str]:
        return sign_url(url, body, at)


class UrlSigningIntegration(TemplateIntegration):
    """Verifies method, URL, body and time, and reads each item of the array alone."""

    webhook_items: ClassVar[bool] = True

    def verify_webhook(self, request: WebhookRequest) -> None:
        timestamp = request.headers.get("x-timestamp")
        signed = request.method, request.url, request.body, timestamp or ""
        given = request.headers.get("x-signature")
        verify_hmac(self._secrets, *signed, given=given, encoding="base64")
        verify_age(timestamp, request.received_at, unit="ms")

    def parse_webhook(self, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:
        try:
            touched = ObjectRef("customer", body["contact"])
            return [WebhookEvent(None, body["kind"], touched=touched)]
        except (TypeError, KeyError):
            raise InvalidInput("the item names no contact") from None


class SoapCrm(Crm):
    """Sends XML to an address with a token, and wants an acknowledgement in XML."""

    @property
    def answers(self) -> list[str]:
        return [each.answer for each in self.deliveries]

    def send_webhooks_to(self, url: str) -> None:
        super().send_webhooks_to(f"{url}/{SECRET}")

    def encode(self, event: Record) -> bytes:
        return notification(event["id"], event["type"], event["contact"]["id"])

    def sign(self, body: bytes, at: int, secret: str, url: str = "") -> Mapping[str, str]:
        return {"Content-Type": "text/xml"}


def notification(event_id: str, kind: str, contact_id: str) -> bytes:
    """Return an outbound message, which is not UTF-8."""
    root = ET.Element("notifications")
    ET.SubElement(root, "one", {"id": event_id, "type": kind, "contact": contact_id})
    made: bytes = ET.tostring(root, encoding="utf-16")
    return made


class SoapIntegration(TemplateIntegration):
    """Compares the token of the path, reads XML, and answers in XML."""

    webhook_headers: ClassVar[tuple[str, ...]] = ()

    def verify_webhook(self, request: WebhookRequest) -> None:
        verify_token(self._secrets, request.token)

    def read_webhook(self, request: WebhookRequest) -> Any:
        try:
            root = ET.fromstring(request.body)
            return [[each.attrib[name] for name in ("id", "type", "contact")] for each in root]
        except (ET.ParseError, LookupError, ValueError):
            raise InvalidInput("the body is no outbound message") from None

    def parse_webhook(self, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:
        return [
            WebhookEvent(event_id, kind, touched=ObjectRef("customer", contact_id))
            for event_id, kind, contact_id in body
        ]

    def answer_webhook(self, accepted: int) -> WebhookAnswer | None:  # type: ignore[override]
        return WebhookAnswer(ACK, "text/xml; charset=utf-8") if accepted else None


class FormCrm(Crm):
    """Sends the members of a contact as a form."""

    def encode(self, event: Record) -> bytes:
        return form(event["id"], event["type"], event["at"], event["contact"])


def form(event_id: str, kind: str, at: int, contact: Mapping[str, Any]) -> bytes:
    """Return a form with the texts of a contact."""
    texts = {name: value for name, value in contact.items() if isinstance(value, str)}
    return urlencode({**texts, "event": event_id, "type": kind, "at": at}).encode()


class FormIntegration(TemplateIntegration):
    """Reads forms, which show a part of a contact."""

    def read_webhook(self, request: WebhookRequest) -> Any:
        try:
            read = dict(parse_qsl(request.body.decode(), strict_parsing=True))
            return {**read, "id": read["id"], "event": read["event"], "at": int(read["at"])}
        except (ValueError, KeyError):
            raise InvalidInput("the body is no form") from None

    def parse_webhook(self, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:
        gone = body.get("type") == "contact.deleted"
        seen = ExternalObject(
            "customer", body["id"], None if gone else body, FIELDS.record_id(body)
        )
        try:
            occurred = Interval.of_millis(body["at"])
        except (ValueError, OverflowError):
            raise InvalidInput("the time is none") from None
        return [WebhookEvent(body["event"], body.get("type", ""), occurred, seen)]


class ChallengingIntegration(TemplateIntegration):
    """Answers the CRM's check of the address, which is a GET with a token and a text to repeat."""

    webhook_methods: ClassVar[tuple[str, ...]] = ("GET", "POST")

    def answer_challenge(self, request: WebhookRequest) -> WebhookAnswer | None:
        if request.method == "POST":
            return None
        verify_token(self._secrets, request.query.get("hub.verify_token", [""])[0])
        return WebhookAnswer(request.query["hub.challenge"][0])


VARIANTS: Mapping[str, tuple[type[Crm], type[TemplateIntegration]]] = {
    "signed URL": (UrlSigningCrm, UrlSigningIntegration),
    "XML": (SoapCrm, SoapIntegration),
    "form": (FormCrm, FormIntegration),
    "challenge": (Crm, ChallengingIntegration),
}
