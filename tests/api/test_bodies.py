"""Bodies that nobody should send."""

import codecs
import gzip
import zlib

import pytest

from tests.support.api import ADA, Api, body_of, problem_of

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
        b'{"metadata": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}",
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


async def test_nothing_refused_was_stored(api: Api) -> None:
    await api.client.post("/customers", json={**ADA, "name": "a\0"})
    assert await api.flow.scalar("SELECT count(*) FROM customers") == 0
    assert await api.flow.scalar("SELECT count(*) FROM outbox") == 0
