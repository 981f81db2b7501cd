"""Stripe's OpenAPI document describes every request of the integration."""

import inspect
from collections.abc import Mapping
from typing import Any

import pytest
import stripe as sdk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.stripe_mock import server
from zenskar import Change, IntentKind, Push
from zenskar.model.fields import CUSTOMER, difference, flatten, merge_patch, unflatten
from zenskar.schema_catalog import Schema, load_folder
from zenskar_stripe import StripeIntegration
from zenskar_stripe.client import StripeApi
from zenskar_stripe.sandbox import lengths

RECORD = "0198f7a4-0000-7000-8000-000000000000"
_texts = st.text("aZ9 &=%+é😀", min_size=1, max_size=20)
_lines = st.dictionaries(
    st.sampled_from(["line1", "line2", "city", "state", "postal_code", "country"]), _texts
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "name": _texts,
        "email": st.just("ada@example.com"),
        "phone": _texts,
        "address": _lines,
        "metadata": st.dictionaries(_texts, _texts, max_size=50),
    },
)


def limits() -> Schema:
    """The declared limits of Stripe."""
    from importlib.resources import files

    return load_folder(files("zenskar_stripe") / "schemas")["customer.limits"]


def push(kind: IntentKind, old: Mapping[str, Any], new: Mapping[str, Any]) -> Push:
    """The push that changes one document into another."""
    before, after = flatten(CUSTOMER, old), flatten(CUSTOMER, new)
    patch = merge_patch(CUSTOMER, difference(before, after))
    change = Change(kind, "customer", RECORD, patch, unflatten(CUSTOMER, after))
    return Push(
        kind=kind,
        entity_type="customer",
        record_id=RECORD,
        external_id=None if kind is IntentKind.CREATE else "cus_1",
        body=StripeIntegration.from_canonical(None, change),  # type: ignore[arg-type]
        idempotency_key="key",
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(old=DOCUMENTS, new=DOCUMENTS)
async def test_creates_and_updates(
    old: dict[str, Any], new: dict[str, Any], stripe: StripeIntegration
) -> None:
    await stripe.push(push(IntentKind.CREATE, {}, new))
    await stripe.push(push(IntentKind.UPDATE, old, new))


async def test_what_is_unset(stripe: StripeIntegration) -> None:
    full = {
        "name": "Ada",
        "email": "ada@example.com",
        "phone": "+441",
        "address": {"city": "London"},
        "metadata": {"plan": "pro"},
    }
    await stripe.push(push(IntentKind.UPDATE, full, {}))
    await stripe.push(push(IntentKind.DELETE, full, {}))


async def test_every_reading_call(stripe: StripeIntegration) -> None:
    await stripe.fetch("customer", "cus_1")
    await stripe.list_page("customer", None)
    await stripe.list_page("customer", "1790000000:cus_1")
    await stripe.find("customer", RECORD)
    await stripe.changes(None)
    assert (await stripe.health()).ok


async def test_every_call_of_the_client(stripe: StripeIntegration) -> None:
    """A call that is added to the client is added here too."""
    api = stripe._api
    calls = {
        "create_customer": api.create_customer({"name": "Ada"}, "key"),
        "update_customer": api.update_customer("cus_1", {"address": ""}, "key"),
        "delete_customer": api.delete_customer("cus_1"),
        "retrieve_account": api.retrieve_account(),
        "retrieve_customer": api.retrieve_customer("cus_1"),
        "list_customers": api.list_customers({"limit": 100, "created": {"lte": 1}}),
        "search_customers": api.search_customers("metadata['zenskar_id']:'x'"),
        "list_events": api.list_events({"limit": 100, "created": {"gte": 1}}),
    }
    known = {name for name, _ in inspect.getmembers(StripeApi, inspect.iscoroutinefunction)}
    assert {name for name in known if not name.startswith("_")} - {"close"} == calls.keys()
    for call in calls.values():
        await call


async def test_the_server_refuses_what_the_document_does_not_know(
    stripe: StripeIntegration,
) -> None:
    with pytest.raises(sdk.InvalidRequestError):
        await stripe._api.create_customer({"no_such_parameter": "1"}, "key")


@pytest.mark.parametrize("path", ["/v1/customers", "/v1/customers/{customer}"])
def test_the_lengths_are_those_of_the_document(path: str) -> None:
    body = server.openapi()["paths"][path]["post"]["requestBody"]["content"]
    schema = body["application/x-www-form-urlencoded"]["schema"]
    told = dict(_lengths(schema, ""))
    shared = told.keys() & lengths.CUSTOMER.keys()
    assert {name: told[name] for name in shared} == {n: lengths.CUSTOMER[n] for n in shared}
    other = {n for n, length in told.items() if length != lengths.USUAL} - lengths.CUSTOMER.keys()
    assert {n for n in other if not n.startswith("default_")} == set()
    declared = limits().document["properties"]
    for name in ("name", "email", "phone"):
        assert declared[name]["maxLength"] == told[name]
    assert declared["address"]["additionalProperties"]["maxLength"] == told["address.line1"]


def _lengths(schema: Mapping[str, Any], path: str) -> Any:
    """The length of every text with a limit, by its path."""
    if "maxLength" in schema and schema.get("enum") != [""]:
        yield path, schema["maxLength"]
    for name, member in schema.get("properties", {}).items():
        yield from _lengths(member, f"{path}.{name}" if path else name)
    for branch in schema.get("anyOf", ()):
        yield from _lengths(branch, path)
    if "items" in schema:
        yield from _lengths(schema["items"], f"{path}[]")
