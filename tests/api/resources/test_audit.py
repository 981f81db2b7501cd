"""`/audit` over HTTP, and the header `X-Reason`."""

from tests.support.api import Api, body_of, problem_of


async def test_an_action_over_http_is_listed_with_its_reason(api: Api) -> None:
    headers = {"X-Reason": "planned work, INC-42"}
    await body_of(await api.client.post("/connections/fake/pause", headers=headers), 200)
    await body_of(await api.client.post("/connections/fake/resume"), 200)
    first = await body_of(await api.client.get("/audit?limit=1"), 200)
    (resumed,) = first["data"]
    assert (resumed["action"], resumed["target"], resumed["reason"]) == ("resume", "fake", None)
    second = await body_of(await api.client.get(f"/audit?cursor={first['next_cursor']}"), 200)
    (paused,) = second["data"]
    assert second["next_cursor"] is None
    assert paused["reason"] == "planned work, INC-42"
    assert (paused["by"], paused["place"], paused["state"]) == ("anonymous", "127.0.0.1", "done")
    only = await body_of(await api.client.get("/audit?action=pause&state=done&target=fake"), 200)
    assert [each["id"] for each in only["data"]] == [paused["id"]]


async def test_a_reason_is_one_line_and_a_filter_is_known(api: Api) -> None:
    answer = await api.client.post("/connections/fake/pause", headers={"X-Reason": "x" * 501})
    assert "reason" in (await problem_of(answer, 400))["detail"]
    await problem_of(await api.client.get("/audit?action=dance"), 400)
    assert (await body_of(await api.client.get("/audit"), 200))["data"] == []
