"""Customers as the SDK sees them."""

import pytest
import stripe

ADDRESS_KEYS = {"city", "country", "line1", "line2", "postal_code", "state"}


async def refused(awaitable, status=400):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await awaitable
    assert caught.value.http_status == status
    return caught.value


async def test_create_shows_the_full_shape(v1):
    customer = await v1.customers.create_async({"name": "Ada", "email": "ada@example.com"})
    shown = customer.to_dict()
    assert shown["id"].startswith("cus_")
    assert set(shown) == {
        "id", "object", "address", "balance", "created", "currency", "default_source",
        "delinquent", "description", "discount", "email", "invoice_prefix", "invoice_settings",
        "livemode", "metadata", "name", "next_invoice_sequence", "phone", "preferred_locales",
        "shipping", "tax_exempt", "test_clock",
    }  # fmt: skip
    assert shown["object"] == "customer"
    assert shown["livemode"] is False
    assert shown["metadata"] == {}
    assert shown["tax_exempt"] == "none"
    assert len(shown["invoice_prefix"]) == 8


async def test_create_without_parameters(v1):
    customer = await v1.customers.create_async()
    assert customer.email is None


async def test_email_is_not_unique(v1):
    first = await v1.customers.create_async({"email": "same@example.com"})
    second = await v1.customers.create_async({"email": "same@example.com"})
    assert first.id != second.id


async def test_nested_parameters(v1):
    customer = await v1.customers.create_async(
        {
            "address": {"line1": "1 Main St", "country": "NO"},
            "metadata": {"zenskar_id": "z1", "tier é": "gold \N{GRINNING FACE}"},
            "preferred_locales": ["nb", "en"],
            "shipping": {"name": "Ada", "address": {"city": "Oslo"}},
            "invoice_settings": {"custom_fields": [{"name": "PO", "value": "7"}]},
            "balance": -500,
        }
    )
    shown = (await v1.customers.retrieve_async(customer.id)).to_dict()
    assert shown["address"] == {
        **dict.fromkeys(ADDRESS_KEYS),
        "line1": "1 Main St",
        "country": "NO",
    }
    assert shown["metadata"] == {"zenskar_id": "z1", "tier é": "gold \N{GRINNING FACE}"}
    assert shown["preferred_locales"] == ["nb", "en"]
    assert shown["shipping"]["address"]["city"] == "Oslo"
    assert shown["invoice_settings"]["custom_fields"] == [{"name": "PO", "value": "7"}]
    assert shown["balance"] == -500


async def test_update_changes_only_what_is_given(v1):
    customer = await v1.customers.create_async({"name": "Ada", "phone": "1"})
    updated = await v1.customers.update_async(customer.id, {"name": "Grace"})
    assert (updated.name, updated.phone) == ("Grace", "1")


@pytest.mark.parametrize("field", ["name", "email", "phone", "description"])
async def test_an_empty_string_unsets(v1, field):
    value = "ada@example.com"
    customer = await v1.customers.create_async({field: value})
    assert customer.to_dict()[field] == value
    updated = await v1.customers.update_async(customer.id, {field: ""})
    assert updated.to_dict()[field] is None


async def test_an_empty_address_unsets(v1):
    customer = await v1.customers.create_async({"address": {"line1": "1 Main St"}})
    updated = await v1.customers.update_async(customer.id, {"address": ""})
    assert updated.address is None


async def test_an_address_is_replaced_as_a_whole(v1):
    customer = await v1.customers.create_async({"address": {"line1": "x", "city": "Oslo"}})
    updated = await v1.customers.update_async(customer.id, {"address": {"city": "Bergen"}})
    assert updated.address.to_dict() == {**dict.fromkeys(ADDRESS_KEYS), "city": "Bergen"}


async def test_invoice_settings_merge(v1):
    customer = await v1.customers.create_async({"invoice_settings": {"footer": "f"}})
    fields = {"custom_fields": [{"name": "a", "value": "b"}]}
    updated = await v1.customers.update_async(customer.id, {"invoice_settings": fields})
    assert updated.invoice_settings.footer == "f"
    updated = await v1.customers.update_async(
        customer.id, {"invoice_settings": {"custom_fields": ""}}
    )
    assert updated.invoice_settings.custom_fields is None


async def test_metadata_merges_and_unsets(v1):
    customer = await v1.customers.create_async({"metadata": {"a": "1", "b": "2"}})
    updated = await v1.customers.update_async(customer.id, {"metadata": {"b": "", "c": "3"}})
    assert updated.metadata.to_dict() == {"a": "1", "c": "3"}
    updated = await v1.customers.update_async(customer.id, {"metadata": ""})
    assert updated.metadata.to_dict() == {}


@pytest.mark.parametrize(
    "metadata",
    [
        {"k" * 41: "v"},
        {"k": "v" * 501},
        {str(number): "v" for number in range(51)},
        {"a[b": "v"},
        {"a]": "v"},
        {"a": {"b": "c"}},
    ],
)
async def test_limits_of_metadata(v1, metadata):
    error = await refused(v1.customers.create_async({"metadata": metadata}))
    assert error.param.startswith("metadata")
    assert (await v1.customers.list_async()).data == []


async def test_metadata_at_its_limits(v1):
    metadata = {f"{number:040}": "v" * 500 for number in range(50)}
    customer = await v1.customers.create_async({"metadata": metadata})
    assert customer.metadata.to_dict() == metadata
    error = await refused(v1.customers.update_async(customer.id, {"metadata": {"more": "1"}}))
    assert error.param == "metadata"


@pytest.mark.parametrize(
    ("params", "name"),
    [({"nme": "x"}, "nme"), ({"address": {"street": "x"}}, "address[street]")],
)
async def test_unknown_parameters(v1, params, name):
    error = await refused(v1.customers.create_async(params))
    assert error.code == "parameter_unknown"
    assert error.param == name


@pytest.mark.parametrize(
    ("params", "code", "name"),
    [
        ({"email": "nobody"}, "email_invalid", "email"),
        ({"balance": "many"}, "parameter_invalid_integer", "balance"),
        ({"balance": 10**9}, "parameter_invalid_integer", "balance"),
        ({"name": "n" * 257}, None, "name"),
        ({"name": {"first": "x"}}, None, "name"),
        ({"address": "x"}, None, "address"),
        ({"shipping": {"name": "x"}}, "parameter_missing", "shipping[address]"),
        ({"tax_exempt": "maybe"}, None, "tax_exempt"),
        ({"payment_method": "pm_1"}, "resource_missing", "payment_method"),
        ({"test_clock": "clock_1"}, "resource_missing", "test_clock"),
        ({"validate": "perhaps"}, None, "validate"),
        ({"preferred_locales": "nb"}, None, "preferred_locales"),
        ({"expand": ["nonsense"]}, None, "expand"),
    ],
)
async def test_invalid_parameters(v1, params, code, name):
    error = await refused(v1.customers.create_async(params))
    assert (error.code, error.param) == (code, name)
    assert (await v1.customers.list_async()).data == []


async def test_missing_customers(v1):
    for attempt in (
        v1.customers.retrieve_async("cus_none"),
        v1.customers.update_async("cus_none", {"name": "x"}),
        v1.customers.delete_async("cus_none"),
    ):
        error = await refused(attempt, 404)
        assert error.code == "resource_missing"
        assert error.user_message == "No such customer: 'cus_none'"


async def test_deleted_customers_leave_a_stub(v1):
    customer = await v1.customers.create_async({"name": "Ada"})
    stub = {"id": customer.id, "object": "customer", "deleted": True}
    assert (await v1.customers.delete_async(customer.id)).to_dict() == stub
    assert (await v1.customers.retrieve_async(customer.id)).to_dict() == stub
    for attempt in (
        v1.customers.update_async(customer.id, {"name": "x"}),
        v1.customers.delete_async(customer.id),
    ):
        assert (await refused(attempt, 404)).code == "resource_missing"


async def test_expand(v1):
    customer = await v1.customers.create_async({"expand": ["sources", "tax"]})
    assert customer.sources.data == []
    assert customer.tax.automatic_tax == "unrecognized_location"
    page = await v1.customers.list_async({"expand": ["data.subscriptions"]})
    assert page.data[0].subscriptions.data == []
    await refused(v1.customers.list_async({"expand": ["subscriptions"]}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("phone", "1" * 21),
        ("name", "A" * 257),
        ("email", "Ada <ada@example.com>"),
        ("email", "ada@com"),
        ("email", " ada@example.com"),
        ("email", "ada@example..com"),
        ("email", "ada"),
    ],
)
async def test_what_stripe_refuses_is_refused(v1, name, value):
    error = await refused(v1.customers.create_async({name: value}))
    assert error.param == name
