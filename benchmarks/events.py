"""The events of every side of a comparison: Stripe's, signed, about 2.4 KB each."""

import hashlib
import hmac
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

SECRET = "whsec_benchmark"
API_KEY = "sk_test_benchmark"
CREATED = 1_700_000_000
_AGE_SECONDS = 30
"""Events are young, as Stripe sends them, and each revision is a second older than the next."""
_TEXT = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor"
_WORDS = tuple(_TEXT.split())


def customer_id(number: int) -> str:
    """Return the id of a customer."""
    return f"cus_bench{number:012d}"


def customer(number: int, revision: int) -> dict[str, Any]:
    """Return a customer as Stripe shows it; its name holds the revision."""
    return {
        "id": customer_id(number),
        "object": "customer",
        "address": {
            "city": "Zürich",
            "country": "CH",
            "line1": f"Bahnhofstrasse {number % 200}",
            "line2": None,
            "postal_code": "8001",
            "state": "ZH",
        },
        "balance": 0,
        "business_name": None,
        "cash_balance": None,
        "created": CREATED,
        "currency": "chf",
        "customer_account": None,
        "default_currency": None,
        "default_source": None,
        "delinquent": False,
        "description": " ".join([_TEXT] * 6),
        "discount": None,
        "email": f"customer.{number}@example.com",
        "individual_name": None,
        "invoice_credit_balance": {},
        "invoice_prefix": f"{number % 0xFFFFFF:08X}",
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {f"attribute_{n}": f"{_WORDS[n]} {number} {n:020d}" for n in range(8)},
        "name": f"Customer {number} revision {revision}",
        "next_invoice_sequence": 1,
        "phone": f"+4144{number:08d}",
        "preferred_locales": ["de-CH", "fr-CH"],
        "shipping": {
            "address": {
                "city": "Zürich",
                "country": "CH",
                "line1": f"Bahnhofstrasse {number % 200}",
                "line2": None,
                "postal_code": "8001",
                "state": "ZH",
            },
            "name": f"Customer {number}",
            "phone": f"+4144{number:08d}",
        },
        "tax_exempt": "none",
        "test_clock": None,
    }


@dataclass(frozen=True)
class Series:
    """Events of one round: each customer is created first, later events change the names.

    No two rounds share an event or a customer.
    """

    count: int
    customers: int
    round: int = 0

    def event(self, number: int) -> bytes:
        """Return the event of this number."""
        revision = number // self.customers
        about = self.round * 10_000_000 + number % self.customers
        data: dict[str, Any] = {"object": customer(about, revision)}
        if revision:
            data["previous_attributes"] = {"name": f"Customer {about} revision {revision - 1}"}
        body = {
            "id": event_id(self.round, number),
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": int(time.time()) - _AGE_SECONDS + revision,
            "data": data,
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": f"req_{number:014d}", "idempotency_key": None},
            "type": "customer.updated" if revision else "customer.created",
        }
        return orjson.dumps(body)

    def sample(self) -> list[str]:
        """Return the ids of some events, including the last."""
        numbers = {*range(0, self.count, 200), *range(max(0, self.count - 50), self.count)}
        return [event_id(self.round, number) for number in sorted(numbers)]

    def requests(self, path: str) -> Iterator[bytes]:
        """Yield a whole HTTP request for each event."""
        for number in range(self.count):
            body = self.event(number)
            head = (
                f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                f"Stripe-Signature: {signature(body)}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            yield head.encode() + body


def event_id(round_number: int, number: int) -> str:
    """Return the id of an event."""
    return f"evt_{round_number:06d}_{number:012d}"


def signature(body: bytes, at: int | None = None) -> str:
    """Return the header that Stripe would send."""
    moment = int(time.time()) if at is None else at
    signed = f"{moment}.".encode() + body
    return f"t={moment},v1={hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()}"
