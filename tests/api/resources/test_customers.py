"""`/customers` over HTTP."""

import asyncio

import pytest
from multidict import CIMultiDict

from tests.support.api import ADA, UNKNOWN_ID, Api, body_of, problem_of
from zenskar.catalog.edits import METADATA_KEYS

FIELDS = {
    "id", "name", "email", "phone", "address", "metadata", "version", "created_at", "updated_at",
}  # fmt: skip


async def test_create_answers_the_whole_record(api: Api) -> None:
    response = await api.client.post("/customers", json=ADA)
    created = await body_of(response, 201)
    assert set(created) == FIELDS
    assert created | ADA == created
    assert (created["phone"], created["address"], created["metadata"]) == (None, None, {})
    assert created["version"] == 1
    assert created["created_at"].endswith("Z")
    assert response.headers["Location"] == f"/customers/{created['id']}"
    assert response.headers["ETag"] == '"1"'


async def test_read_shows_where_it_stands(api: Api) -> None:
    created = await api.create(phone="+441", address={"city": "London"}, metadata={"plan": "pro"})
    response = await api.client.get(f"/customers/{created['id']}")
    found = await body_of(response, 200)
    pending = {
        "source_system": "fake",
        "external_id": None,
        "state": "pending",
        "synced_version": None,
        "in_sync": False,
    }
    assert found == {**created, "external": [pending]}
    assert response.headers["ETag"] == '"1"'


@pytest.mark.parametrize("customer_id", [UNKNOWN_ID, "no-id", "1", "%00", "..%2f..%2fetc"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_unknown_ids_are_404(api: Api, method: str, customer_id: str) -> None:
    body = None if method in {"GET", "DELETE"} else ADA
    response = await api.client.request(method, f"/customers/{customer_id}", json=body)
    await problem_of(response, 404)


async def test_put_replaces_everything(api: Api) -> None:
    created = await api.create(phone="+441", metadata={"plan": "pro"})
    response = await api.client.put(f"/customers/{created['id']}", json={**ADA, "name": "Ada L"})
    replaced = await body_of(response, 200)
    assert (replaced["name"], replaced["phone"], replaced["metadata"]) == ("Ada L", None, {})
    assert (replaced["version"], response.headers["ETag"]) == (2, '"2"')


async def test_patch_is_a_merge_patch(api: Api) -> None:
    created = await api.create(
        phone="+441", address={"line1": "1 St", "city": "London"}, metadata={"a": "1", "b": "2"}
    )
    patch = {"phone": None, "address": {"city": "Paris"}, "metadata": {"a": None, "c": "3"}}
    response = await api.client.patch(
        f"/customers/{created['id']}",
        json=patch,
        headers={"Content-Type": "application/merge-patch+json"},
    )
    patched = await body_of(response, 200)
    assert patched["phone"] is None
    assert patched["address"] == {"line1": "1 St", "city": "Paris"}
    assert patched["metadata"] == {"b": "2", "c": "3"}


async def test_a_change_of_nothing_keeps_the_version(api: Api) -> None:
    created = await api.create(metadata={"plan": "pro"})
    path = f"/customers/{created['id']}"
    for body in ({}, {"name": "Ada"}, {"phone": None}, {"metadata": {"gone": None}}):
        assert (await body_of(await api.client.patch(path, json=body), 200))["version"] == 1
    assert len(await api.flow.events("outbound")) == 1


async def test_delete(api: Api) -> None:
    path = f"/customers/{(await api.create())['id']}"
    response = await api.client.delete(path)
    assert (response.status, await response.read()) == (204, b"")
    await problem_of(await api.client.get(path), 404)
    await problem_of(await api.client.delete(path), 404)
    await problem_of(await api.client.patch(path, json={"name": "X"}), 404)
    assert (await body_of(await api.client.get("/customers"), 200))["data"] == []


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_if_match(api: Api, method: str) -> None:
    path = f"/customers/{(await api.create())['id']}"
    body = None if method == "DELETE" else {**ADA, "name": "New"}
    for stale in ('"2"', '"x"', 'W/"1"', '"0", "7"', '"0001"', '"1,2"', '""', '"' + "1" * 99 + '"'):
        response = await api.client.request(method, path, json=body, headers={"If-Match": stale})
        assert (await problem_of(response, 412))["type"].endswith("stale-version")
    response = await api.client.request(method, path, json=body, headers={"If-Match": '"9", "1"'})
    assert response.status in {200, 204}


@pytest.mark.parametrize("sent", ["", " ", "1", '"1', "'1'", '"1" "2"', '*, "1"', '"1",,"1', ","])
async def test_a_condition_that_cannot_be_read_is_400(api: Api, sent: str) -> None:
    path = f"/customers/{(await api.create())['id']}"
    for method in ("PUT", "PATCH", "DELETE"):
        body = None if method == "DELETE" else {**ADA, "name": "New"}
        refused = await api.client.request(method, path, json=body, headers={"If-Match": sent})
        await problem_of(refused, 400)
    assert (await body_of(await api.client.get(path), 200))["version"] == 1


async def test_all_lines_of_a_condition_count(api: Api) -> None:
    path = f"/customers/{(await api.create())['id']}"
    for lines, status in ((['"5"', '"6"'], 412), (['"5"', '"1"'], 200), (["*", '"1"'], 400)):
        headers = CIMultiDict([("If-Match", line) for line in lines])
        assert (await api.client.patch(path, json={"name": "N"}, headers=headers)).status == status


async def test_two_idempotency_keys_are_400(api: Api) -> None:
    headers = CIMultiDict([("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    await problem_of(await api.client.post("/customers", json=ADA, headers=headers), 400)


@pytest.mark.parametrize("sent", ['"1",', ',"1"', ' , "9",,\t"1" ,'])
async def test_empty_elements_of_if_match_are_ignored(api: Api, sent: str) -> None:
    path = f"/customers/{(await api.create())['id']}"
    for status in (200, 412):
        response = await api.client.patch(path, json={"name": "N"}, headers={"If-Match": sent})
        assert response.status == status


async def test_if_match_any(api: Api) -> None:
    path = f"/customers/{(await api.create())['id']}"
    response = await api.client.patch(path, json={"name": "N"}, headers={"If-Match": "*"})
    assert response.status == 200


async def test_one_of_two_concurrent_writers_with_if_match_wins(api: Api) -> None:
    path = f"/customers/{(await api.create())['id']}"
    answers = await asyncio.gather(
        *(
            api.client.patch(path, json={"name": f"N{i}"}, headers={"If-Match": '"1"'})
            for i in range(5)
        )
    )
    assert sorted(a.status for a in answers) == [200, 412, 412, 412, 412]


async def test_concurrent_patches_of_different_fields_all_last(api: Api) -> None:
    path = f"/customers/{(await api.create())['id']}"
    await asyncio.gather(
        *(api.client.patch(path, json={"metadata": {f"k{i}": "v"}}) for i in range(8))
    )
    found = await body_of(await api.client.get(path), 200)
    assert (len(found["metadata"]), found["version"]) == (8, 9)


async def test_pages_go_from_newest_to_oldest(api: Api) -> None:
    ids = [(await api.create(name=f"N{i}"))["id"] for i in range(5)]
    seen, cursor, pages = [], None, 0
    while cursor or not pages:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = await body_of(await api.client.get("/customers", params=query), 200)
        seen += [view["id"] for view in page["data"]]
        assert all("external" in view for view in page["data"])
        cursor, pages = page["next_cursor"], pages + 1
    assert (seen, pages) == (sorted(ids, reverse=True), 3)


async def test_list_by_email(api: Api) -> None:
    await api.create(email="x@example.com")
    wanted = [await api.create(email="y@example.com") for _ in range(2)]
    page = await body_of(await api.client.get("/customers?email=y@example.com"), 200)
    assert {v["id"] for v in page["data"]} == {v["id"] for v in wanted}


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=201", "limit=x", "limit=-1", "limit=1e2", "limit=²",
        "limit=99999999999999999999", "cursor=x", "cursor=%F0%9F%98%80", "cursor=", "emial=x",
        "email=%00", "limit=1&limit=2", "limit=0000000209999999", "limit=" + "9" * 5000,
        "limit=" + "0" * 5000 + "1", "limit=01", "limit=+1", "limit=1.0", "limit=%201", "limit=",
        "limit=1_0", "limit=true", "email=", "email=" + "a" * 600, "email=a%0Ab", "LIMIT=1",
        "cursor=" + "A" * 21 + "B", "limit%00=1", "%ED%A0%80=1",
    ],
)  # fmt: skip
async def test_bad_parameters_are_400(api: Api, query: str) -> None:
    await problem_of(await api.client.get(f"/customers?{query}"), 400)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": None}, "/name"),
        ({"email": "not an address"}, "/email"),
        ({"phone": 5}, "/phone"),
        ({"phone": ""}, "/phone"),
        ({"address": {"planet": "x"}}, "/address/planet"),
        ({"address": []}, "/address"),
        ({"metadata": {"zenskar_id": "x"}}, "/metadata"),
        ({"metadata": {"a": 1}}, "/metadata/a"),
        ({"metadata": {str(i): "x" for i in range(METADATA_KEYS + 1)}}, "/metadata"),
        ({"nmae": "x"}, "/nmae"),
        ({"id": UNKNOWN_ID}, "/id"),
        ({"name": "a\0b"}, "/name"),
        ({"address": {"city": "a\0b"}}, "/address/city"),
        ({"metadata": {"a": "\0"}}, "/metadata/a"),
        ({"name": "x" * 257}, "/name"),
        ({"name": 10**30}, "/name"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_violations_name_the_field(
    api: Api, method: str, changes: dict[str, object], pointer: str
) -> None:
    path = "/customers" if method == "POST" else f"/customers/{UNKNOWN_ID}"
    body = changes if method == "PATCH" else {**ADA, **changes}
    problem = await problem_of(await api.client.request(method, path, json=body), 422)
    assert pointer in [error["pointer"] for error in problem["errors"]]


async def test_a_patch_cannot_grow_metadata_past_the_limit(api: Api) -> None:
    created = await api.create(metadata={str(i): "x" for i in range(METADATA_KEYS)})
    path = f"/customers/{created['id']}"
    problem = await problem_of(await api.client.patch(path, json={"metadata": {"n": "x"}}), 422)
    assert problem["errors"][0]["pointer"] == "/metadata"
    swap = {"metadata": {"n": "x", "0": None}}
    assert (await api.client.patch(path, json=swap)).status == 200


async def test_markup_and_emoji_come_back_as_they_are(api: Api) -> None:
    name = "<script>alert(1)</script> '; DROP TABLE customers; -- 🦄"
    created = await api.create(name=name, metadata={"<b>": "\r\nSet-Cookie: x"})
    found = await body_of(await api.client.get(f"/customers/{created['id']}"), 200)
    assert (found["name"], found["metadata"]) == (name, {"<b>": "\r\nSet-Cookie: x"})
