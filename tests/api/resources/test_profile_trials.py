"""`/connections/{name}/test` over HTTP."""

from tests.support.api import ADA, Api, body_of, problem_of

PATH = "/connections/fake/test"


async def test_a_record_is_shown_both_ways_and_nothing_is_written(api: Api) -> None:
    found = await body_of(await api.client.post(PATH, json={"record": ADA}), 200)
    assert found["document"]["name"] == "Ada"
    assert found["body"]["name"] == "Ada"
    assert found["record"]["email"] == "ada@example.com"
    assert (found["not_seen"], found["travels"]) == ([], True)
    assert await api.flow.scalar("SELECT count(*) FROM customers") == 0
    assert await api.flow.scalar("SELECT count(*) FROM operator_actions") == 0
    assert api.flow.systems["fake"].calls == []


async def test_an_object_is_shown_as_the_record_that_it_becomes(api: Api) -> None:
    seen = {"id": "obj_1", "name": "Grace", "email": "grace@example.com"}
    found = await body_of(await api.client.post(PATH, json={"object": seen}), 200)
    assert found["record"]["name"] == "Grace"
    assert "body" not in found


async def test_a_wrong_request_is_refused(api: Api) -> None:
    for body in ({}, {"record": ADA, "object": {}}):
        await problem_of(await api.client.post(PATH, json=body), 400)
    for body in ({"record": "Ada"}, {"other": {}}, {"record": {"name": 1}}):
        await problem_of(await api.client.post(PATH, json=body), 422)
    other = await api.client.post("/connections/other/test", json={"record": ADA})
    await problem_of(other, 404)
