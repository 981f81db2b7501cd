"""Credentials, headers, forms and routes."""

import base64

import pytest
import stripe


def basic(user, password=""):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def test_bearer_and_basic(sandbox, call):
    for value in (f"Bearer {sandbox.api_key}", basic(sandbox.api_key)):
        status, _, _ = await call("GET", "/v1/customers", Authorization=value)
        assert status == 200


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer sk_test_other", basic("sk_test_other"), "Basic %%%", "Digest x",
     "Bearer sk_\N{LATIN SMALL LETTER E WITH ACUTE}"],
)  # fmt: skip
async def test_other_credentials(call, value):
    status, body, headers = await call("GET", "/v1/customers", Authorization=value)
    assert status == 401
    assert body["error"]["type"] == "invalid_request_error"
    assert headers["WWW-Authenticate"].startswith("Basic")


async def test_the_sdk_sees_an_authentication_error(sandbox, connect):
    wrong = connect(sandbox, "sk_test_wrong")
    with pytest.raises(stripe.AuthenticationError) as caught:
        await wrong.customers.create_async({"name": "x"})
    assert "sk_test_wrong" not in str(caught.value)


async def test_headers(call):
    _, _, headers = await call("POST", "/v1/customers", {"name": "x"}, Idempotency_Key="k")
    assert headers["Request-Id"].startswith("req_")
    assert headers["Stripe-Version"] == "2026-10-28.endive"
    assert headers["Idempotency-Key"] == "k"
    assert headers["Content-Type"].startswith("application/json")
    _, _, headers = await call("GET", "/v1/customers", Stripe_Version="2025-03-31.basil")
    assert headers["Stripe-Version"] == "2025-03-31.basil"
    assert "Idempotency-Key" not in headers


async def test_a_version_that_is_none(call):
    status, body, _ = await call("GET", "/v1/customers", Stripe_Version="newest")
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/unicorns"),
        ("GET", "/v1/customers/"),
        ("PUT", "/v1/customers/cus_1"),
        ("DELETE", "/v1/customers"),
        ("POST", "/v1/events"),
        ("GET", "/v1"),
        ("GET", "/"),
        ("GET", "/v1/customers/../customers/a/b"),
    ],
)
async def test_unknown_routes(call, method, path):
    status, body, _ = await call(method, path)
    assert status == 404
    assert body["error"]["message"].startswith(f"Unrecognized request URL ({method}: /")


async def test_the_shape_of_an_error(call):
    _, body, _ = await call("POST", "/v1/customers", {"nme": "x"})
    error = body["error"]
    assert error.pop("doc_url").endswith("parameter-unknown")
    assert error == {
        "type": "invalid_request_error",
        "code": "parameter_unknown",
        "message": "Received unknown parameter: nme",
        "param": "nme",
    }


async def test_several_unknown_parameters(call):
    _, body, _ = await call("POST", "/v1/customers", {"a": "1", "b": "2"})
    assert body["error"]["message"] == "Received unknown parameters: a, b"


FORM = {"Content_Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    "form",
    [
        b"name=%ff",
        b"name=\xff",
        b"address=x&address[line1]=y",
        b"address[line1=x",
        b"[name]=x",
        b"a" + b"[b]" * 20 + b"=x",
        b"&".join(b"metadata[%d]=x" % number for number in range(1001)),
    ],
)
async def test_forms_that_are_refused(call, form):
    status, body, _ = await call("POST", "/v1/customers", form, **FORM)
    assert status == 400
    assert body["error"]["type"] == "invalid_request_error"


async def test_bodies_that_are_no_form(call):
    status, body, _ = await call(
        "POST", "/v1/customers", b'{"name": "x"}', Content_Type="application/json"
    )
    assert status == 400
    assert "content type" in body["error"]["message"]


async def test_arrays_without_an_index(call):
    form = b"preferred_locales[]=nb&preferred_locales[]=en&expand[]=sources"
    _, body, _ = await call("POST", "/v1/customers", form, **FORM)
    assert body["preferred_locales"] == ["nb", "en"]
    assert body["sources"]["object"] == "list"


async def test_markup_and_nul_are_inert(call):
    name = "<script>\0'; DROP TABLE records;--\r\n{}"
    _, created, _ = await call("POST", "/v1/customers", {"name": name})
    _, found, _ = await call("GET", f"/v1/customers/{created['id']}")
    assert found["name"] == name
