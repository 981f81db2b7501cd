"""The schemas take what Stripe sends, in any version: texts of any length and of any characters."""

import json
from importlib.resources import files
from typing import Any

import jsonschema_rs
import pytest
from jsonschema import Draft202012Validator

from .test_webhooks import NOW, event

THIN = {
    "id": "evt_2",
    "object": "v2.core.event",
    "type": "v1.customer.created",
    "created": "2027-01-15T08:00:00.000Z",
    "livemode": False,
    "related_object": {"id": "cus_1", "type": "customer", "url": "/v1/customers/cus_1"},
}


def schema(name: str) -> dict[str, Any]:
    text = files("zenskar_stripe").joinpath(f"schemas/{name}.schema.json").read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def takes(name: str, document: Any) -> bool:
    """The verdict, on which both libraries of the core agree."""
    fast = jsonschema_rs.validator_for(schema(name)).is_valid(document)
    assert Draft202012Validator(schema(name)).is_valid(document) == fast
    return fast


def of(customer: Any, **changes: Any) -> dict[str, Any]:
    return event(data={"object": customer}, **changes)


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in event().items() if name not in names}


EVENTS = {
    "customer": event(),
    "other type": of({"object": "balance"}, type="balance.available"),
    "null request": event(request=None),
    "request of 2016": event(request="req_1"),
    "2017": {**without("request", "object"), "api_version": "2017-08-15"},
    "no livemode": without("livemode"),
    "previous attributes": event(
        data={"object": {"id": "cus_1"}, "previous_attributes": {"metadata": {"a": None}}}
    ),
    "of a connected account": event(account="acct_1"),
    "stub": of({"id": "cus_1", "object": "customer", "deleted": True}, type="customer.deleted"),
    "odd customer id": of({"id": "ada@example.com"}),
    "long": event(id="e" * 500, type="t" * 500, request={"idempotency_key": "k" * 500}),
    "thin": THIN,
    "thin, with an offset": {**THIN, "created": "2027-01-15T08:00:00+05:30"},
}
NO_EVENTS: dict[str, Any] = {
    "array": [],
    "string": "event",
    "null": None,
    "empty": {},
    **{f"no {name}": without(name) for name in ("id", "type", "created", "data")},
    "empty id": event(id=""),
    "id of another type": event(id=7),
    "created as text": event(created=str(NOW)),
    "created as bool": event(created=True),
    "created with a fraction": event(created=NOW + 0.5),
    "created too large": event(created=10**30),
    "created before 1970": event(created=-1),
    "data null": event(data=None),
    "object null": of(None),
    "object array": of([]),
    "customer without id": of({}),
    "customer id that is a path": of({"id": ".."}),
    "customer that is none": of({"id": "sub_1", "object": "subscription"}),
    "livemode as text": event(livemode="false"),
    "thin with seconds": {**THIN, "created": NOW},
    "thin without time zone": {**THIN, "created": "2027-01-15T08:00:00"},
}
CUSTOMERS = {
    "least": {"id": "cus_1"},
    "stub": {"id": "cus_1", "object": "customer", "deleted": True},
    "nulls": {"id": "cus_1", "name": None, "address": None, "metadata": None},
    "more": {"id": "cus_1", "shipping": {"name": 7}, "address": {"line3": 7, "city": None}},
    "empty": {"id": "cus_1", "name": "", "metadata": {"a": ""}},
    "long": {"id": "c" * 500, "name": "n" * 5000, "metadata": {"k" * 500: "v" * 5000}},
    "NUL": {"id": "cus_1", "name": "\0", "address": {"city": "\0"}, "metadata": {"\0": "\0"}},
    "emoji": {"id": "cus_1", "name": "😀 \x7f\n", "metadata": {"😀": "é"}},
}
NO_CUSTOMERS = {
    "no id": {"name": "Ada"},
    "other object": {"id": "sub_1", "object": "subscription"},
    "number in metadata": {"id": "cus_1", "metadata": {"a": 7}},
    "name of another type": {"id": "cus_1", "name": ["Ada"]},
    "address as text": {"id": "cus_1", "address": "Pune"},
}


@pytest.mark.parametrize("name", ["webhook_event", "customer"])
def test_schemas_are_schemas(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    assert schema(name)["$id"] == f"https://zenskar.dev/schemas/stripe/{name}.schema.json"


@pytest.mark.parametrize("document", EVENTS.values(), ids=EVENTS)
def test_events(document: Any) -> None:
    assert takes("webhook_event", document)


@pytest.mark.parametrize("document", NO_EVENTS.values(), ids=NO_EVENTS)
def test_what_is_no_event(document: Any) -> None:
    assert not takes("webhook_event", document)


@pytest.mark.parametrize("document", CUSTOMERS.values(), ids=CUSTOMERS)
def test_customers(document: Any) -> None:
    assert takes("customer", document)


@pytest.mark.parametrize("document", NO_CUSTOMERS.values(), ids=NO_CUSTOMERS)
def test_what_is_no_customer(document: Any) -> None:
    assert not takes("customer", document)
