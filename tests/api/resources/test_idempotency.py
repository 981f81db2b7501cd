"""`Idempotency-Key` on POST /customers."""

import asyncio

import pytest

from tests.support.api import ADA, Api, body_of, problem_of

KEY = {"Idempotency-Key": "order-17"}


async def test_a_repeat_gets_the_first_answer(api: Api) -> None:
    first = await api.client.post("/customers", json=ADA, headers=KEY)
    created = await body_of(first, 201)
    assert "Idempotent-Replayed" not in first.headers
    await api.client.patch(f"/customers/{created['id']}", json={"name": "Changed"})
    second = await api.client.post("/customers", json=dict(reversed(ADA.items())), headers=KEY)
    assert await body_of(second, 201) == created
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]
    assert await api.flow.scalar("SELECT count(*) FROM customers") == 1


async def test_another_body_is_refused(api: Api) -> None:
    await api.client.post("/customers", json=ADA, headers=KEY)
    other = await api.client.post("/customers", json={**ADA, "name": "B"}, headers=KEY)
    assert (await problem_of(other, 422))["type"].endswith("idempotency-key-reused")
    assert await api.flow.scalar("SELECT count(*) FROM customers") == 1


async def test_concurrent_requests_make_one_customer(api: Api) -> None:
    answers = await asyncio.gather(
        *(api.client.post("/customers", json=ADA, headers=KEY) for _ in range(20))
    )
    ids = {(await body_of(answer, 201))["id"] for answer in answers}
    replayed = [a for a in answers if a.headers.get("Idempotent-Replayed") == "true"]
    assert (len(ids), len(replayed)) == (1, 19)
    assert await api.flow.scalar("SELECT count(*) FROM customers") == 1
    assert len(await api.flow.events("outbound")) == 1


async def test_a_refused_request_leaves_the_key_free(api: Api) -> None:
    await problem_of(await api.client.post("/customers", json={}, headers=KEY), 422)
    assert (await api.client.post("/customers", json=ADA, headers=KEY)).status == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "with space", "ü"])
async def test_bad_keys_are_400(api: Api, key: str) -> None:
    headers = {"Idempotency-Key": key}
    await problem_of(await api.client.post("/customers", json=ADA, headers=headers), 400)
