"""`/connections/{name}/link` over HTTP."""

from typing import Any

import pytest

from tests.support.api import UNKNOWN_ID, Api, body_of, open_api, problem_of
from tests.support.fake import FakeError
from zenskar.errors import FailureKind

PATH = "/connections/fake/link"


async def post(api: Api, status: int, path: str = PATH, **body: Any) -> dict[str, Any]:
    answer = await api.client.post(path, json=body, headers={"X-Reason": "INC-7"})
    return await (body_of(answer, 200) if status == 200 else problem_of(answer, status))


async def test_an_object_is_linked_after_a_dry_run(database_url: str) -> None:
    async with open_api(database_url, working=True) as api:
        system = api.flow.systems["fake"]
        external_id = system.create(name="Grace", email="grace@example.com")
        system.webhooks.clear()
        dry = await post(api, 200, f"{PATH}?dry_run=true", external_id=external_id, new=True)
        assert (dry["done"], dry["creates_record"]) == (False, True)
        assert await api.flow.scalar("SELECT count(*) FROM external_mappings") == 0
        linked = await post(api, 200, external_id=external_id, new=True)
        assert linked["done"] is True
        mapping = await api.flow.mapping(linked["record_id"])
        assert mapping["external_id"] == external_id
        (entry,) = (await body_of(await api.client.get("/audit?action=link"), 200))["data"]
        assert (entry["target"], entry["reason"]) == (linked["record_id"], "INC-7")


async def test_a_choice_is_needed(api: Api) -> None:
    await post(api, 400, external_id="1")
    await post(api, 400, external_id="1", customer_id=UNKNOWN_ID, new=True)
    await post(api, 404, "/connections/nothing/link", external_id="1", new=True)


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        (FailureKind.NOT_VISIBLE, 404, "fake shows no object with the id obj_7"),
        (FailureKind.REJECTED, 400, "fake refuses the id obj_7"),
        (FailureKind.TRANSIENT, 502, "transient"),
    ],
)
async def test_a_mistyped_object_is_no_fault_of_the_external_system(
    api: Api, kind: FailureKind, status: int, text: str
) -> None:
    def refuse(_hook: str, _about: str | None) -> None:
        raise FakeError(kind)

    api.flow.systems["fake"].reading = refuse
    problem = await post(api, status, external_id="obj_7", new=True)
    assert text in problem["detail"]
