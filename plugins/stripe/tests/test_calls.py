"""Calls, made to the sandbox."""

from dataclasses import replace
from typing import Any

import pytest
import stripe as sdk

from zenskar import Change, FailureKind, IntentKind, Push, PushResult
from zenskar_stripe import StripeIntegration
from zenskar_stripe.sandbox import Fault, FaultKind, StripeSandbox

from .conftest import Open

DOCUMENT = {
    "name": 'Ada & "Ben" 😀 \u202e',
    "email": "ada+1@example.com",
    "phone": "+91 20 1234",
    "address": {"line1": "1 = 2 & [3]", "city": "Pune", "country": "IN"},
    "metadata": {"tier": "gold", "ключ.1": "é%"},
}


async def create(
    stripe: StripeIntegration,
    document: dict[str, Any] | None = None,
    record: str = "rec_1",
    key: str = "key_1",
) -> PushResult:
    given = DOCUMENT if document is None else document
    body = stripe.from_canonical(Change(IntentKind.CREATE, "customer", record, given, given))
    return await stripe.push(Push(IntentKind.CREATE, "customer", record, None, body, key))


async def update(stripe: StripeIntegration, external_id: str, patch: dict[str, Any]) -> PushResult:
    body = stripe.from_canonical(Change(IntentKind.UPDATE, "customer", "rec_1", patch, {}))
    return await stripe.push(Push(IntentKind.UPDATE, "customer", "rec_1", external_id, body, "k"))


async def delete(stripe: StripeIntegration, external_id: str) -> PushResult:
    return await stripe.push(Push(IntentKind.DELETE, "customer", "rec_1", external_id, {}, "k"))


def canonical(stripe: StripeIntegration, result: PushResult) -> dict[str, Any]:
    document = dict(stripe.to_canonical(result.seen))
    address = document["address"] or {}
    document["address"] = {key: value for key, value in address.items() if value}
    return document


async def test_a_created_customer_holds_the_document_and_our_id(stripe: StripeIntegration) -> None:
    made = await create(stripe)
    assert canonical(stripe, made) == DOCUMENT
    assert made.seen.record_id == "rec_1"
    assert not made.replayed
    fetched = await stripe.fetch("customer", made.seen.external_id)
    assert replace(fetched, answered_at=made.seen.answered_at) == made.seen


async def test_an_update_leaves_the_rest_alone(stripe: StripeIntegration) -> None:
    made = await create(stripe)
    patch = {"name": "Eve", "address": {"city": "Goa"}, "metadata": {"tier": None, "new": "1"}}
    changed = await update(stripe, made.seen.external_id, patch)
    metadata = {"ключ.1": "é%", "new": "1"}
    wanted = DOCUMENT | {"name": "Eve", "address": {"city": "Goa"}, "metadata": metadata}
    assert canonical(stripe, changed) == wanted
    assert changed.seen.record_id == "rec_1"


async def test_an_update_can_unset_everything(stripe: StripeIntegration) -> None:
    made = await create(stripe)
    patch = {**dict.fromkeys(DOCUMENT), "metadata": dict.fromkeys(("tier", "ключ.1"))}
    changed = await update(stripe, made.seen.external_id, patch)
    assert not any(canonical(stripe, changed).values())


async def test_a_deleted_customer_is_seen_deleted(stripe: StripeIntegration) -> None:
    external_id = (await create(stripe)).seen.external_id
    assert (await delete(stripe, external_id)).seen.data is None
    assert (await stripe.fetch("customer", external_id)).data is None
    for call in (delete(stripe, external_id), update(stripe, external_id, {"name": "Eve"})):
        assert await failure(stripe, call) is FailureKind.NOT_VISIBLE


async def test_a_customer_that_is_not_found_is_not_seen_deleted(stripe: StripeIntegration) -> None:
    call = stripe.fetch("customer", "cus_of_another_account")
    assert await failure(stripe, call) is FailureKind.NOT_VISIBLE


async def test_the_same_key_makes_one_customer(
    stripe: StripeIntegration, sandbox: StripeSandbox
) -> None:
    first, second = await create(stripe), await create(stripe)
    assert second.replayed
    assert replace(second.seen, answered_at=first.seen.answered_at) == first.seen
    assert len((await stripe.list_page("customer", None)).objects) == 1
    assert [call.idempotency_key for call in sandbox.requests][:2] == ["key_1", "key_1"]


async def test_a_lost_answer_is_replayed(stripe: StripeIntegration, sandbox: StripeSandbox) -> None:
    sandbox.faults.add(Fault(kind=FaultKind.DROP_ANSWER))
    assert await failure(stripe, create(stripe)) is FailureKind.UNKNOWN_OUTCOME
    assert (await create(stripe)).replayed
    assert len((await stripe.list_page("customer", None)).objects) == 1


async def test_nothing_is_sent_twice(stripe: StripeIntegration, sandbox: StripeSandbox) -> None:
    sandbox.faults.add(Fault(kind=FaultKind.SERVER_ERROR))
    assert await failure(stripe, create(stripe)) is FailureKind.UNKNOWN_OUTCOME
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize("mode", ["cut", "broken_json", "html"])
async def test_an_answer_that_cannot_be_read(
    stripe: StripeIntegration, sandbox: StripeSandbox, mode: Any
) -> None:
    sandbox.faults.add(Fault(kind=FaultKind.TRUNCATE, mode=mode))
    assert await failure(stripe, create(stripe)) is FailureKind.UNKNOWN_OUTCOME


async def test_an_answer_that_does_not_come(opened: Open, sandbox: StripeSandbox) -> None:
    stripe = await opened(api_base=sandbox.base_url, timeout_seconds=0.05)
    sandbox.faults.add(Fault(kind=FaultKind.DELAY, delay_seconds=2))
    assert await failure(stripe, create(stripe)) is FailureKind.UNKNOWN_OUTCOME


async def test_a_limited_rate(stripe: StripeIntegration, sandbox: StripeSandbox) -> None:
    sandbox.faults.add(Fault(kind=FaultKind.RATE_LIMITED, retry_after=3))
    with pytest.raises(sdk.RateLimitError) as caught:
        await create(stripe)
    limited = stripe.classify_error(caught.value)
    assert limited is not None
    assert (limited.kind, limited.retry_after) == (FailureKind.RATE_LIMITED, 3.0)


async def test_other_parameters_under_the_same_key(stripe: StripeIntegration) -> None:
    await create(stripe)
    assert await failure(stripe, create(stripe, {"name": "Eve"})) is FailureKind.REJECTED


async def test_a_refused_value(stripe: StripeIntegration) -> None:
    assert await failure(stripe, create(stripe, {"email": "no address"})) is FailureKind.REJECTED


async def test_a_wrong_key(opened: Open, sandbox: StripeSandbox) -> None:
    stripe = await opened(api_base=sandbox.base_url, api_key="sk_test_wrong")
    assert await failure(stripe, create(stripe)) is FailureKind.CREDENTIALS


async def test_a_new_line_after_a_mounted_secret(opened: Open, sandbox: StripeSandbox) -> None:
    stripe = await opened(api_base=f"{sandbox.base_url}/", api_key=f"{sandbox.api_key}\n")
    assert (await stripe.health()).ok


async def test_health_says_what_is_wrong(opened: Open, sandbox: StripeSandbox) -> None:
    stripe = await opened(api_base=sandbox.base_url, api_key="sk_test_wrong")
    assert (await (await opened(api_base=sandbox.base_url)).health()).ok
    ill = await stripe.health()
    assert (ill.ok, ill.detail.startswith("Stripe answered 401")) == (False, True)


async def test_a_push_without_an_external_id_is_not_sent(
    stripe: StripeIntegration, sandbox: StripeSandbox
) -> None:
    for kind in (IntentKind.UPDATE, IntentKind.DELETE):
        with pytest.raises(ValueError, match="external id"):
            await stripe.push(Push(kind, "customer", "rec_1", None, {}, "k"))
    assert len(sandbox.requests) == 0


async def test_closing_twice_or_without_opening(stripe: StripeIntegration) -> None:
    await stripe.close()
    await stripe.close()
    with pytest.raises(RuntimeError, match="not open"):
        await stripe.health()


async def failure(stripe: StripeIntegration, call: Any) -> FailureKind | None:
    """How the error of a call is sorted."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any error, that is the point
        await call
    found = stripe.classify_error(caught.value)
    return found.kind if found else None
