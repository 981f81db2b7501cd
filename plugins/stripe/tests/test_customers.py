"""Customers: the way out and the way in are inverse."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zenskar import Change, ExternalObject, IntentKind
from zenskar_stripe import customers
from zenskar_stripe.failures import UnreadableAnswer

ADDRESS = ("line1", "line2", "city", "state", "postal_code", "country")
texts = st.none() | st.text("aZ9 &=%+[]\"'\\\n\x7fé\u202eन😀", max_size=8)
keys = st.text("abKEY é_-.😀", min_size=1, max_size=4)
documents = st.fixed_dictionaries(
    {},
    optional={
        "name": texts,
        "email": texts,
        "phone": texts,
        "address": st.none() | st.fixed_dictionaries({}, optional=dict.fromkeys(ADDRESS, texts)),
        "metadata": st.none() | st.dictionaries(keys, texts, max_size=3),
    },
)


def plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """Only what holds something."""
    held = {k: plain(v) if isinstance(v, Mapping) else v for k, v in document.items()}
    return {k: v for k, v in held.items() if v}


def patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the change that the core requests between two plain documents."""
    wanted = {k: new.get(k) for k in (*old, *new) if k != "metadata" and old.get(k) != new.get(k)}
    before, after = old.get("metadata", {}), new.get("metadata", {})
    keyed = {k: after.get(k) for k in (*before, *after) if before.get(k) != after.get(k)}
    return wanted | ({"metadata": keyed} if keyed else {})


def create(document: Mapping[str, Any]) -> dict[str, Any]:
    change = Change(IntentKind.CREATE, "customer", "rec_1", plain(document), document)
    return customers.from_canonical(change)


def update(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return customers.from_canonical(Change(IntentKind.UPDATE, "customer", "rec_1", wanted, {}))


def stored(customer: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Apply parameters as Stripe does: an empty string unsets, metadata is merged."""
    result = {**customer, **{k: v or None for k, v in params.items() if k != "metadata"}}
    if result.get("address"):
        result["address"] = {k: v or None for k, v in result["address"].items()}
    merged = {**customer.get("metadata", {}), **params.get("metadata", {})}
    return {**result, "id": "cus_1", "metadata": {k: v for k, v in merged.items() if v}}


@settings(deadline=None)
@given(documents)
def test_what_is_created_reads_back_the_same(document: dict[str, Any]) -> None:
    customer = stored({}, create(document))
    assert plain(customers.to_canonical(customer)) == plain(document)
    assert customers.record_id(customer) == "rec_1"


@settings(deadline=None)
@given(documents, documents)
def test_an_update_makes_the_old_document_into_the_new_one(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    before = stored({}, create(old))
    after = stored(before, update(patch(plain(old), plain(new))))
    assert plain(customers.to_canonical(after)) == plain(new)
    assert customers.record_id(after) == "rec_1"


@settings(deadline=None)
@given(documents)
def test_a_create_gives_nothing_that_is_empty(document: dict[str, Any]) -> None:
    body = create(document)
    assert body == plain(body)


def test_an_update_gives_only_what_changed() -> None:
    assert update({"name": "Ada"}) == {"name": "Ada"}
    assert update({"metadata": {"tier": None}}) == {"metadata": {"tier": ""}}
    assert update({"phone": None, "address": None}) == {"phone": "", "address": ""}


def test_a_changed_address_is_given_whole() -> None:
    body = update({"address": {"city": "Pune", "line2": None}})
    assert body == {"address": {**dict.fromkeys(ADDRESS, ""), "city": "Pune"}}


def test_a_delete_has_no_body() -> None:
    change = Change(IntentKind.DELETE, "customer", "rec_1", {}, {"name": "Ada"})
    assert customers.from_canonical(change) == {}


def test_our_own_metadata_travels_neither_way() -> None:
    metadata = {"zenskar_id": "rec_2", "zenskar_x": "1", "tier": "gold"}
    assert customers.to_canonical({"metadata": metadata})["metadata"] == {"tier": "gold"}
    assert update({"metadata": metadata}) == {"metadata": {"tier": "gold"}}
    assert create({"metadata": metadata})["metadata"] == {"tier": "gold", "zenskar_id": "rec_1"}


@pytest.mark.parametrize("metadata", [{"metadata": None}, {"metadata": {"a": ""}}])
@pytest.mark.parametrize("address", [{"address": None}, {"address": {"city": ""}}])
def test_null_and_empty_are_the_same(metadata: Any, address: Any) -> None:
    seen = {"id": "cus_1", "name": "", "email": "", "phone": None, **metadata, **address}
    empty: dict[str, Any] = {
        "name": None,
        "email": None,
        "phone": None,
        "address": None,
        "metadata": {},
    }
    assert customers.to_canonical(seen) == empty


@pytest.mark.parametrize("name", ["name", "email", "phone", "address", "metadata"])
def test_what_stripe_leaves_out_was_not_seen_and_is_left_out(name: str) -> None:
    assert customers.to_canonical({"id": "cus_1"}) == {}
    assert customers.to_canonical({"id": "cus_1", name: None}).keys() == {name}


def test_every_part_of_an_address_is_told() -> None:
    address = customers.to_canonical({"address": {"city": "Pune", "unknown": "x"}})["address"]
    assert address == {**dict.fromkeys(ADDRESS), "city": "Pune"}


@pytest.mark.parametrize("metadata", [None, {}, {"zenskar_id": ""}, {"zenskar_id": 7}, "text"])
def test_a_customer_without_our_id(metadata: Any) -> None:
    assert customers.record_id({"metadata": metadata}) is None


def test_a_stub_is_a_deleted_customer() -> None:
    stub = {"id": "cus_1", "object": "customer", "deleted": True}
    assert customers.seen(stub) == ExternalObject("customer", "cus_1", None, None)


@pytest.mark.parametrize("data", [{}, {"id": None}, {"id": 7}, {"id": ""}])
def test_an_answer_that_is_no_customer(data: Any) -> None:
    with pytest.raises(UnreadableAnswer):
        customers.seen(data)


FULL = {f"key {number}": "v" for number in range(customers.METADATA_KEYS)}


def test_where_all_metadata_keys_are_taken_the_description_carries_our_id() -> None:
    own = "0198f7a4-0000-7000-8000-000000000000"
    body = customers.from_canonical(
        Change(IntentKind.CREATE, "customer", own, {"metadata": FULL}, {"metadata": FULL})
    )
    assert body["metadata"] == FULL
    assert customers.record_id(body) == own
    assert customers.record_id({**body, "description": f"see zenskar_id: {own}"}) is None
    one_less = dict(list(FULL.items())[1:])
    body = create({"metadata": one_less})
    assert body["metadata"] == {**one_less, "zenskar_id": "rec_1"}
    assert "description" not in body


def test_the_last_metadata_key_takes_the_place_of_our_id() -> None:
    last = {"metadata": dict(list(FULL.items())[-1:])}
    change = Change(IntentKind.UPDATE, "customer", "rec_1", last, {"metadata": FULL})
    assert customers.from_canonical(change)["metadata"] == {**last["metadata"], "zenskar_id": ""}
    unset = {"metadata": {"another": None}}
    change = Change(IntentKind.UPDATE, "customer", "rec_1", unset, {"metadata": FULL})
    assert customers.from_canonical(change)["metadata"] == {"another": ""}
