"""The time filters of the lists."""

import pytest

from tests.support.api import Api, body_of, open_api, problem_of
from tests.support.fake import FakeError
from zenskar import FailureKind

LISTS = ["/sync-events", "/dead-letters", "/dead-letters/groups", "/runs", "/audit"]


async def test_every_list_is_bounded_by_times(database_url: str) -> None:
    async with open_api(database_url, working=True) as api:

        def refuse(_push: object) -> None:
            raise FakeError(FailureKind.REJECTED)

        api.flow.systems["fake"].before = refuse
        await api.create()
        await api.flow.settle()
        run = {"source": "fake", "entity_type": "customer", "kind": "repair"}
        await body_of(await api.client.post("/runs", json=run), 202)
        await body_of(await api.client.post("/connections/fake/pause"), 200)
        for path in LISTS:
            for query, there in (
                ("?since=2020-01-31T00:00:00Z", True),
                ("?until=2020-01-31T00:00:00Z", False),
                ("?since=2999-01-31T00:00:00Z", False),
            ):
                found = (await body_of(await api.client.get(path + query), 200))["data"]
                assert bool(found) is there, path + query


@pytest.mark.parametrize("path", LISTS)
async def test_another_text_is_refused(api: Api, path: str) -> None:
    for text in ("yesterday", "1900-01-31T00:00:00Z"):
        await problem_of(await api.client.get(f"{path}?since={text}"), 400)
