"""Bodies that nobody should send."""

import codecs
import gzip
import json
import zlib

import pytest
from multidict import CIMultiDict

from tests.support.api import ADA, UNKNOWN_ID, Api, body_of, problem_of

JSON = {"Content-Type": "application/json"}
MEGABYTE = 1024 * 1024


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"name": NaN, "email": "a@example.com"}',
        b'{"name": 1e999, "email": "a@example.com"}',
        b'{"name": "\\ud800", "email": "a@example.com"}',
        b'{"name": "\xed\xa0\x80", "email": "a@example.com"}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
)
async def test_what_is_no_json_is_400(api: Api, body: bytes) -> None:
    await problem_of(await api.client.post("/customers", data=body, headers=JSON), 400)


@pytest.mark.parametrize(
    "body",
    [
        b"[]", b"null", b"1", b'"text"', b'[{"name": "Ada"}]', b"9" * 400,
        b'{"name": ' + b"9" * 30 + b"}",
        b'{"metadata": {"a": ' + b"[" * 30 + b"]" * 30 + b"}}",
    ],
)  # fmt: skip
async def test_json_of_another_shape_is_422_or_400(api: Api, body: bytes) -> None:
    response = await api.client.post("/customers", data=body, headers=JSON)
    expected = 400 if body == b"9" * 400 else 422
    await problem_of(response, expected)


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", ""],
)
async def test_other_types_are_415(api: Api, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    response = await api.client.post("/customers", data=b'{"name": "A"}', headers=headers)
    await problem_of(response, 415)


@pytest.mark.parametrize("charset", ["UTF-8", "utf8", '"utf-8"', "UTF8", "utf_8", "US-ASCII"])
async def test_a_charset_of_utf_8_is_taken(api: Api, charset: str) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}
    body = '{"name": "Zoë", "email": "z@example.com"}'.encode()
    assert (await api.client.post("/customers", data=body, headers=headers)).status == 201


async def test_a_byte_order_mark_is_passed_over(api: Api) -> None:
    body = codecs.BOM_UTF8 + b'{"name": "Ada", "email": "ada@example.com"}'
    created = await body_of(await api.client.post("/customers", data=body, headers=JSON), 201)
    assert created["name"] == "Ada"
    doubled = codecs.BOM_UTF8 + body
    await problem_of(await api.client.post("/customers", data=doubled, headers=JSON), 400)


async def test_oversize_is_413(api: Api) -> None:
    body = b'{"name": "' + b"x" * MEGABYTE + b'"}'
    await problem_of(await api.client.post("/customers", data=body, headers=JSON), 413)


async def test_oversize_without_a_length_is_413(api: Api) -> None:
    async def chunks():
        for _ in range(20):
            yield b" " * 65536

    await problem_of(await api.client.post("/customers", data=chunks(), headers=JSON), 413)


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress)],
)
async def test_a_bomb_is_413(api: Api, encoding: str, pack) -> None:
    bomb = pack(b" " * (50 * MEGABYTE))
    assert len(bomb) < MEGABYTE
    headers = JSON | {"Content-Encoding": encoding}
    response = await api.client.post("/customers", data=bomb, headers=headers)
    await problem_of(response, 413)


async def test_a_packed_body_is_read(api: Api) -> None:
    body = gzip.compress(b'{"name": "Ada", "email": "ada@example.com"}')
    headers = JSON | {"Content-Encoding": "gzip"}
    assert (await api.client.post("/customers", data=body, headers=headers)).status == 201


async def test_a_broken_packing_is_400(api: Api) -> None:
    headers = JSON | {"Content-Encoding": "gzip"}
    await problem_of(await api.client.post("/customers", data=b"no gzip", headers=headers), 400)


@pytest.mark.parametrize("depth", [33, 253, 900, 1000, 1022])
@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a":', "}")])
async def test_deep_bodies_are_400(api: Api, depth: int, start: str, end: str) -> None:
    deep = start * depth + "1" + end * depth
    for body in (f'{{"metadata": {{"a": {deep}}}}}', f'{{"metadata": {deep}}}', deep):
        refused = await api.client.post("/customers", data=body.encode(), headers=JSON)
        await problem_of(refused, 400)
    for path in ("/sync-events/retry", "/dead-letters/discard"):
        body = f'{{"source": [{deep}]}}'
        refused = await api.client.post(path, data=body.encode(), headers=JSON)
        await problem_of(refused, 400)


@pytest.mark.parametrize(
    "body",
    [
        {"metadata": {f"k{n}": 1 for n in range(60_000)}},
        {f"k{n}": 1 for n in range(60_000)},
        {"metadata": [[]] * 200_000},
        {"ids": [0] * 300_000},
        {"address": {"city": [{}] * 100_000}},
    ],
    ids=["metadata", "fields", "lists", "numbers", "objects"],
)
async def test_bodies_of_many_members_are_400_however_packed(api: Api, body: object) -> None:
    text = json.dumps(body).encode()
    for path in ("/customers", "/sync-events/retry"):
        refused = await api.client.post(path, data=text, headers=JSON)
        assert "more than 2000 members" in (await problem_of(refused, 400))["detail"]
        headers = JSON | {"Content-Encoding": "gzip"}
        packed = gzip.compress(text)
        await problem_of(await api.client.post(path, data=packed, headers=headers), 400)


async def test_a_thousand_ids_are_not_too_many(api: Api) -> None:
    body = {"ids": [UNKNOWN_ID] * 1000}
    assert (await api.client.post("/sync-events/retry", json=body)).status == 202


async def test_every_member_of_a_packed_body_is_read(api: Api) -> None:
    headers = JSON | {"Content-Encoding": "gzip"}
    halves = b'{"name": "Ada", ', b'"email": "ada@example.com"}'
    body = b"".join(map(gzip.compress, halves))
    created = await body_of(await api.client.post("/customers", data=body, headers=headers), 201)
    assert created["email"] == "ada@example.com"


@pytest.mark.parametrize(
    "tail",
    [b"x", b"\0", gzip.compress(b"x"), gzip.compress(b"")[:-1], b"\x1f\x8b"],
    ids=["text", "nul", "member", "cut", "start"],
)
async def test_what_follows_a_packed_body_is_400(api: Api, tail: bytes) -> None:
    text = json.dumps(ADA).encode()
    for encoding, packed in (("gzip", gzip.compress(text)), ("deflate", zlib.compress(text))):
        headers = JSON | {"Content-Encoding": encoding}
        refused = await api.client.post("/customers", data=packed + tail, headers=headers)
        await problem_of(refused, 400)


async def test_members_together_are_bounded_too(api: Api) -> None:
    headers = JSON | {"Content-Encoding": "gzip"}
    many = gzip.compress(b" " * (MEGABYTE // 2)) * 3
    await problem_of(await api.client.post("/customers", data=many, headers=headers), 413)
    empty = gzip.compress(b"") * 1000 + gzip.compress(json.dumps(ADA).encode())
    await problem_of(await api.client.post("/customers", data=empty, headers=headers), 400)


@pytest.mark.parametrize("second", ["gzip", "identity", "", "br"])
async def test_two_content_encodings_are_415(api: Api, second: str) -> None:
    lines = [("Content-Encoding", "gzip"), ("Content-Encoding", second)]
    headers = CIMultiDict([*JSON.items(), *lines])
    body = gzip.compress(json.dumps(ADA).encode())
    await problem_of(await api.client.post("/customers", data=body, headers=headers), 415)


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "gzip\t,br"])
async def test_other_packings_are_415(api: Api, encoding: str) -> None:
    headers = JSON | {"Content-Encoding": encoding}
    await problem_of(await api.client.post("/customers", data=b"x", headers=headers), 415)


async def test_other_methods_and_addresses_are_problems(api: Api) -> None:
    refused = await api.client.delete("/customers")
    await problem_of(refused, 405)
    assert refused.headers["Allow"] == "GET,HEAD,POST"
    for path in ("/nowhere", "/customers/x/y", "/webhooks"):
        await problem_of(await api.client.get(path), 404)


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30])
async def test_an_integer_beyond_64_bits_is_422_with_its_place(api: Api, number: int) -> None:
    body = {"name": "Ada", "metadata": {"plan/size": number}}
    response = await api.client.post("/customers", json=body)
    problem = await problem_of(response, 422)
    assert "/metadata/plan~1size" in str(problem)
    assert "digits" in str(problem)


async def test_nothing_refused_was_stored(api: Api) -> None:
    await api.client.post("/customers", json={**ADA, "name": "a\0"})
    assert await api.flow.scalar("SELECT count(*) FROM customers") == 0
    assert await api.flow.scalar("SELECT count(*) FROM outbox") == 0
