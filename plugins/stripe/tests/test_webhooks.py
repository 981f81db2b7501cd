"""Webhooks: only what Stripe signed just now gets in, and only customers are taken up."""

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zenskar import BadSignature, Interval, InvalidInput, WebhookEvent, WebhookRequest
from zenskar_stripe.sandbox.signing import signature

from .conftest import SECRET, connect

NOW = 1_800_000_000
BODY = b'{"id":"evt_1"}'


def header(timestamp: object = NOW, body: bytes = BODY, secret: str = SECRET) -> str:
    signed = str(timestamp).encode() + b"." + body
    return f"t={timestamp},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def request(given: str | None, body: bytes = BODY, at: float = NOW) -> WebhookRequest:
    return WebhookRequest({} if given is None else {"stripe-signature": given}, body, at)


def event(**changes: Any) -> dict[str, Any]:
    customer = {"id": "cus_1", "object": "customer", "metadata": {"zenskar_id": "rec_1"}}
    body = {
        "id": "evt_1",
        "object": "event",
        "type": "customer.updated",
        "created": NOW,
        "livemode": False,
        "request": {"id": "req_1", "idempotency_key": "key_1"},
        "data": {"object": customer},
    }
    return {**body, **changes}


def parse(body: dict[str, Any], **settings: object) -> WebhookEvent:
    (parsed,) = connect(**settings).parse_webhook(request(None), body)
    return parsed


V1 = header().partition(",v1=")[2]
GENUINE = {
    "plain": header(),
    "one of several signatures": f"t={NOW},v1={'0' * 64},v1={V1},v0=x",
    "spaces": f"t={NOW}, v1={V1}",
    "unknown scheme": f"{header()},v9=x,=,,",
}
HOSTILE = {
    "missing": None,
    "empty": "",
    "garbage": "}{",
    "no timestamp": f"v1={V1}",
    "no signature": f"t={NOW}",
    "empty signature": f"t={NOW},v1=",
    "other scheme only": f"t={NOW},v0={V1}",
    "two timestamps": f"t={NOW},t={NOW},v1={V1}",
    "timestamp of letters": f"t=now,v1={V1}",
    "negative timestamp": header(-NOW),
    "fraction": header(f"{NOW}.0"),
    "huge timestamp": header("9" * 5000),
    "other digits": header("١٨٠٠٠٠٠٠٠٠"),
    "underscores": header("1_800_000_000"),
    "not ASCII": f"t={NOW},v1=é",
    "lone surrogate": f"t={NOW},v1=\udcff",
    "NUL": f"t={NOW},v1=\0{V1}",
    "upper case": f"t={NOW},v1={V1.upper()}",
    "cut": header()[:-1],
    "many signatures": f"t={NOW}" + ",v1=0" * 5000,
    "other secret": header(secret="whsec_other"),
    "empty secret": header(secret=""),
    "other body": header(body=b"{}"),
    "other timestamp": f"t={NOW + 1},v1={V1}",
}


@pytest.mark.parametrize("given", GENUINE.values(), ids=GENUINE)
def test_a_genuine_webhook_is_let_in(given: str) -> None:
    connect().verify_webhook(request(given))


@pytest.mark.parametrize("given", HOSTILE.values(), ids=HOSTILE)
def test_a_forged_one_is_not(given: str | None) -> None:
    with pytest.raises(BadSignature):
        connect().verify_webhook(request(given))


@settings(deadline=None)
@given(st.text("tv10=,- é\0\udcff", max_size=30), st.binary(max_size=30), st.floats())
def test_nothing_but_a_bad_signature_is_raised(given: str, body: bytes, at: float) -> None:
    with pytest.raises(BadSignature):
        connect().verify_webhook(request(given, body, at))


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"\0", b"[" * 100_000, "é".encode()])
def test_the_raw_bytes_are_what_is_signed(body: bytes) -> None:
    connect().verify_webhook(request(header(body=body), body))
    with pytest.raises(BadSignature):
        connect().verify_webhook(request(header(body=body), body + b" "))


@pytest.mark.parametrize(("drift", "ok"), [(300, True), (-300, True), (301, False), (-301, False)])
def test_the_clock_may_be_off_by_five_minutes_either_way(drift: int, *, ok: bool) -> None:
    integration, given = connect(), request(header(), at=NOW + drift)
    if ok:
        integration.verify_webhook(given)
    else:
        with pytest.raises(BadSignature, match="timestamp"):
            integration.verify_webhook(given)


@pytest.mark.parametrize("at", [0.0, float("nan"), float("inf")])
def test_without_a_time_of_arrival_nothing_gets_in(at: float) -> None:
    with pytest.raises(BadSignature):
        connect().verify_webhook(request(header(), at=at))


def test_old_and_new_secret_work_while_rotating() -> None:
    rotating = connect(webhook_secret=" whsec_new , whsec_old,")
    for secret in ("whsec_new", "whsec_old"):
        rotating.verify_webhook(request(header(secret=secret)))
    with pytest.raises(BadSignature):
        rotating.verify_webhook(request(header(secret="")))


def test_without_a_secret_nothing_gets_in() -> None:
    with pytest.raises(InvalidInput):
        connect(webhook_secret=" , ")


def test_the_sandbox_signs_alike() -> None:
    connect().verify_webhook(request(signature(SECRET, NOW, BODY)))


def test_an_event_of_a_customer() -> None:
    parsed = parse(event())
    assert (parsed.id, parsed.type, parsed.ignored) == ("evt_1", "customer.updated", None)
    assert parsed.occurred == Interval(NOW * 1_000_000, NOW * 1_000_000 + 999_999)
    assert parsed.origin_key == "key_1"
    assert parsed.seen is not None
    assert (parsed.seen.external_id, parsed.seen.record_id) == ("cus_1", "rec_1")
    assert parsed.seen.data == event()["data"]["object"]


@pytest.mark.parametrize("customer", [event()["data"]["object"], {"id": "cus_1", "deleted": True}])
def test_a_deleted_customer_has_no_data(customer: dict[str, Any]) -> None:
    parsed = parse(event(type="customer.deleted", data={"object": customer}))
    assert parsed.seen is not None
    assert parsed.seen.data is None
    assert parsed.seen.record_id == ("rec_1" if "metadata" in customer else None)


@pytest.mark.parametrize(
    "kind",
    ["customer.subscription.created", "customer.source.updated", "customer", "customer.created.x"],
)
def test_other_types_are_ignored_even_with_the_same_prefix(kind: str) -> None:
    parsed = parse(event(type=kind))
    assert (parsed.ignored, parsed.seen) == ("unknown_type", None)


@pytest.mark.parametrize(
    ("key", "livemode", "ignored"),
    [
        ("sk_test_1", True, "other_mode"),
        ("rk_live_1", False, "other_mode"),
        ("sk_live_1", True, None),
        ("rk_test_1", False, None),
        ("sk_test_1", None, None),
        ("opaque", True, None),
    ],
)
def test_events_of_the_other_mode_are_ignored(key: str, livemode: Any, ignored: str | None) -> None:
    parsed = parse(event(livemode=livemode), api_key=key)
    assert parsed.ignored == ignored
    assert (parsed.seen is None) == (ignored is not None)


@pytest.mark.parametrize(
    ("account", "own", "ignored"),
    [
        ("acct_1", None, "other_account"),
        ("acct_1", "acct_2", "other_account"),
        ("acct_1", "acct_1", None),
        (None, "acct_1", None),
        (None, None, None),
    ],
)
def test_events_of_other_accounts_are_ignored(account: Any, own: Any, ignored: Any) -> None:
    assert parse(event(account=account), account=own).ignored == ignored


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (None, None),
        ("req_1", None),
        ({"id": None}, None),
        ({"idempotency_key": None}, None),
        ({"idempotency_key": "k"}, "k"),
    ],
)
def test_the_request_has_had_several_forms(given: Any, key: str | None) -> None:
    assert parse(event(request=given)).origin_key == key


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, True),
        ("req_1", False),
        ({"id": None}, True),
        ({"id": "req_1"}, False),
        ({"id": "req_1", "idempotency_key": None}, True),
        ({"id": "req_1", "idempotency_key": "k"}, True),
        (7, False),
    ],
)
def test_the_origin_is_told_where_the_request_is(given: Any, *, told: bool) -> None:
    made = parse(event(type="customer.created", request=given))
    assert (made.changed is not None) is told


@pytest.mark.parametrize(
    ("previous", "changed"),
    [
        ({"phone": "1", "balance": 3}, ("/phone",)),
        ({"address": {"city": "Old"}}, ("/address",)),
        ({"metadata": {"a": None, "b/c~d": "1"}}, ("/metadata/a", "/metadata/b~1c~0d")),
        ({"metadata": None}, ("/metadata",)),
        ({"balance": 3}, ()),
        ({}, ()),
        (None, None),
    ],
)
def test_an_update_tells_what_it_changed(previous: Any, changed: Any) -> None:
    body = event(type="customer.updated")
    body["data"] = {**body["data"], "previous_attributes": previous}
    assert parse(body).changed == changed


def test_a_create_changed_everything() -> None:
    assert parse(event(type="customer.created")).changed == ("",)


def test_an_event_of_2017_has_no_request() -> None:
    body = event(api_version="2017-08-15")
    del body["request"], body["object"]
    parsed = parse(body)
    assert (parsed.origin_key, parsed.changed) == (None, None)
    assert parsed.seen is not None


def test_a_thin_event_is_recorded_only() -> None:
    body = {
        "id": "evt_2",
        "object": "v2.core.event",
        "type": "v1.customer.created",
        "created": "2027-01-15T08:00:00.123Z",
    }
    parsed = parse(body)
    assert (parsed.ignored, parsed.seen) == ("thin_event", None)
    assert parsed.occurred == Interval.of_millis(1_800_000_000_123)


def test_a_thin_event_of_an_impossible_day() -> None:
    body = {
        "id": "evt_2",
        "object": "v2.core.event",
        "type": "x",
        "created": "2027-02-31T00:00:00Z",
    }
    with pytest.raises(InvalidInput, match="time"):
        parse(body)
