"""A client may send a customer back as the API shows it; stored values break no limit."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.api import Api, body_of, open_api, problem_of

LONG = "l" * 3000
BROUGHT = {
    "nothing but an id": {"name": None, "email": None},
    "a long name": {"name": "n" * 5000, "email": "no address"},
    "what cannot be stored": {"name": "a\0b", "phone": "1" * 100},
    "a long address": {"address": {"line1": LONG, "city": "Pune"}},
    "much metadata": {"metadata": {f"{n}" * 50 + "[x]": "v" * 600 for n in range(60)}},
}


async def bring(api: Api, **values: Any) -> dict[str, Any]:
    """Create a customer in the external system; return it as the API shows it."""
    api.flow.systems["fake"].create(**({"name": "Ada", "email": "ada@example.com"} | values))
    await api.flow.deliver()
    (row,) = (await body_of(await api.client.get("/customers"), 200))["data"]
    return await body_of(await api.client.get(f"/customers/{row['id']}"), 200)


@pytest.fixture(params=BROUGHT.values(), ids=BROUGHT)
async def brought(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Any]:
    """Yield an API and a customer that an external system brought, as it is shown."""
    async with open_api(database_url, working=True) as api:
        yield api, await bring(api, **request.param)


async def test_what_get_shows_can_be_put(brought: tuple[Api, dict[str, Any]]) -> None:
    api, shown = brought
    answer = await api.client.put(f"/customers/{shown['id']}", json=shown)
    assert (await body_of(answer, 200)) == {n: v for n, v in shown.items() if n != "external"}


async def test_one_value_can_be_changed_and_the_rest_kept(
    brought: tuple[Api, dict[str, Any]],
) -> None:
    api, shown = brought
    url = f"/customers/{shown['id']}"
    changed = await body_of(await api.client.put(url, json=shown | {"phone": "7"}), 200)
    own = ("name", "email", "address", "metadata")
    assert [changed[name] for name in own] == [shown[name] for name in own]
    assert (changed["phone"], changed["version"]) == ("7", 2)
    kept = {name: shown[name] for name in own if shown[name]}
    patched = await body_of(await api.client.patch(url, json=kept | {"phone": "8"}), 200)
    assert (patched["phone"], patched["version"]) == ("8", 3)


async def test_a_value_that_is_changed_meets_the_limits(
    brought: tuple[Api, dict[str, Any]],
) -> None:
    api, shown = brought
    url = f"/customers/{shown['id']}"
    for name, value in (("name", "n" * 257), ("email", "no address at all"), ("phone", "")):
        for method in (api.client.put, api.client.patch):
            problem = await problem_of(await method(url, json=shown | {name: value}), 422)
            assert {each["pointer"] for each in problem["errors"]} == {f"/{name}"}


@pytest.mark.parametrize(
    "change", [{"id": "x"}, {"version": 2}, {"version": True}, {"updated_at": None}]
)
async def test_read_only_members_must_be_as_they_are(api: Api, change: dict[str, Any]) -> None:
    shown = await api.create()
    for method in (api.client.put, api.client.patch):
        answer = await method(f"/customers/{shown['id']}", json=shown | change)
        problem = await problem_of(answer, 422)
        assert [each["pointer"] for each in problem["errors"]] == [f"/{next(iter(change))}"]
    await problem_of(await api.client.post("/customers", json=shown), 422)


async def test_what_external_systems_say_is_passed_over(api: Api) -> None:
    shown = await api.create()
    body = shown | {"external": [{"source_system": "fake", "state": "old"}], "name": "Eve"}
    answer = await api.client.put(f"/customers/{shown['id']}", json=body)
    assert (await body_of(answer, 200))["name"] == "Eve"


async def test_members_of_an_address_and_keys_of_metadata_are_judged_alone(
    database_url: str,
) -> None:
    async with open_api(database_url, working=True) as api:
        shown = await bring(api, address={"line1": LONG}, metadata={"k" * 50: "v" * 600})
        url = f"/customers/{shown['id']}"
        patch: dict[str, Any] = {"address": {"city": "Pune"}, "metadata": {"a": "b"}}
        answer = await body_of(await api.client.patch(url, json=patch), 200)
        assert answer["address"] == {"line1": LONG, "city": "Pune"}
        refused = [
            ({"address": {"line2": LONG}}, "/address/line2"),
            ({"address": {"line1": LONG + "l"}}, "/address/line1"),
            ({"address": {"street": None}}, "/address/street"),
            ({"metadata": {"a": "v" * 501}}, "/metadata/a"),
            ({"metadata": {"k" * 51: "v"}}, "/metadata"),
            ({"address": None, "nothing": None}, "/nothing"),
        ]
        for patch, pointer in refused:
            problem = await problem_of(await api.client.patch(url, json=patch), 422)
            assert [each["pointer"] for each in problem["errors"]] == [pointer]
        gone = await api.client.patch(url, json={"metadata": {"k" * 50: None}})
        assert (await body_of(gone, 200))["metadata"] == {"a": "b"}
        put = {"name": "Ada", "email": "ada@example.com", "address": {"line1": LONG}}
        assert (await body_of(await api.client.put(url, json=put), 200))["metadata"] == {}
        put["address"] = {"line1": LONG + "l"}
        await problem_of(await api.client.put(url, json=put), 422)
        await problem_of(await api.client.put(url, json={"name": "Ada"}), 422)
