"""`X-Correlation-Id`."""

import pytest

from tests.support.api import ADA, Api
from zenskar.ids import is_id

NAME = "X-Correlation-Id"


async def test_a_given_one_is_kept_and_stored(api: Api) -> None:
    given = "order-17:retry.2"
    response = await api.client.post("/customers", json=ADA, headers={NAME: given})
    assert response.headers[NAME] == given
    (event,) = await api.flow.events("outbound")
    assert event["correlation_id"] == given


@pytest.mark.parametrize(
    "given", [None, "", "x" * 129, "a b", "<script>", "a;b", "ü", "a@b.example"]
)
async def test_an_unsafe_one_is_replaced(api: Api, given: str | None) -> None:
    headers = {} if given is None else {NAME: given}
    response = await api.client.get("/customers", headers=headers)
    assert is_id(response.headers[NAME])


@pytest.mark.parametrize("path", ["/nowhere", "/health/live", "/customers/x", "/metrics", "/docs"])
async def test_every_answer_has_one(api: Api, path: str) -> None:
    first = (await api.client.get(path)).headers[NAME]
    assert first != (await api.client.get(path)).headers[NAME]


async def test_answers_are_not_cached_or_guessed_at_and_tell_no_version(api: Api) -> None:
    response = await api.client.get("/customers")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Server"] == "zenskar"
