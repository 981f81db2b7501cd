"""`/customers/{id}/undelete` over HTTP, and held deletes with their objects of now."""

from tests.ops.test_connections import flooded
from tests.support.api import UNKNOWN_ID, Api, body_of, open_api, problem_of
from tests.support.fake import FakeError
from zenskar import FailureKind


async def test_a_deleted_customer_is_back_with_its_object(database_url: str) -> None:
    async with open_api(database_url, working=True) as api:
        made = await api.create()
        await api.flow.settle()
        assert (await api.client.delete(f"/customers/{made['id']}")).status == 204
        await api.flow.settle()
        answer = await api.client.post(
            f"/customers/{made['id']}/undelete", headers={"X-Reason": "a mistake"}
        )
        back = await body_of(answer, 200)
        assert [link["state"] for link in back["links"]] == ["linked"]
        assert (await api.client.get(f"/customers/{made['id']}")).status == 200
        await problem_of(await api.client.post(f"/customers/{made['id']}/undelete"), 409)
        (entry,) = (await body_of(await api.client.get("/audit"), 200))["data"]
        assert (entry["action"], entry["reason"]) == ("undelete", "a mistake")


async def test_an_unknown_customer_is_404(api: Api) -> None:
    await problem_of(await api.client.post(f"/customers/{UNKNOWN_ID}/undelete"), 404)


async def test_held_deletes_show_whether_their_objects_exist_now(database_url: str) -> None:
    settings = {"delete_guard_limit": 2, "retry_max_attempts": 1}
    async with open_api(database_url, working=True, **settings) as api:
        system = await flooded(api.flow, 5)
        path = "/connections/fake/held-deletes"
        held = (await body_of(await api.client.get(path), 200))["data"]
        system.objects[held[0]["external_id"]] = {"name": "Alive"}
        looked = (await body_of(await api.client.get(f"{path}?look=true"), 200))["data"]
        assert [each["object"] for each in looked] == ["alive", *["deleted"] * (len(held) - 1)]

        def away(_hook: str, _about: str | None) -> None:
            raise FakeError(FailureKind.TRANSIENT)

        system.reading = away
        await problem_of(await api.client.get(f"{path}?look=true"), 502)
        system.reading = lambda _hook, _about: None
