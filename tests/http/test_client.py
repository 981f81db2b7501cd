"""The client against a server that answers well, badly and not at all."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from zenskar.errors import InvalidInput
from zenskar.http import (
    BadAnswer,
    Basic,
    Bearer,
    Client,
    ClientLimits,
    Header,
    HttpError,
    NoAnswer,
    RenewalFailed,
)

NOW = 1_800_000_000
SECRET = "ada@example.com"
Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers as configured, and keeps the requests with their bodies."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer: Answering = echo
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((request.method, str(request.raw_path), headers, body))
        return await self.answer(request)

    def answers(self, *args: Any, **options: Any) -> None:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(*args, **options)

        self.answer = answer

    @property
    def base(self) -> str:
        return str(self._server.make_url("")).rstrip("/")


async def echo(_: web.Request) -> web.StreamResponse:
    return web.json_response({"id": "c_1"}, headers={"Date": formatdate(NOW, usegmt=True)})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    running = Server()
    await running._server.start_server()
    yield running
    await running._server.close()


@pytest.fixture
async def connect(server: Server) -> AsyncIterator[Callable[..., Client]]:
    clients: list[Client] = []

    def opened(*args: Any, **options: Any) -> Client:
        clients.append(Client(server.base, *args, **options))
        return clients[-1]

    yield opened
    for client in clients:
        await client.close()


async def test_a_call_and_its_answer(server: Server, connect: Callable[..., Client]) -> None:
    client = connect(Bearer("tok_1"), headers={"X-Version": "3"})
    body = {"name": "é\udcff", "phone": None}
    answer = await client.request("POST", "/contacts", json=body, headers={"If-Match": '"7"'})
    assert (answer.status, answer.body, answer.answered_at) == (200, {"id": "c_1"}, NOW)
    ((method, path, headers, sent),) = server.asked
    assert (method, path) == ("POST", "/contacts")
    assert headers["authorization"] == "Bearer tok_1"
    assert headers["content-type"] == "application/json"
    assert (headers["x-version"], headers["if-match"]) == ("3", '"7"')
    assert json.loads(sent) == body


@pytest.mark.parametrize(
    ("auth", "name", "value"),
    [
        (Basic("ada", "pass:é"), "authorization", "Basic YWRhOnBhc3M6w6k="),
        (Header("X-Api-Key", "k 1"), "x-api-key", "k 1"),
        (None, "authorization", None),
    ],
)
async def test_every_form_of_credentials(
    server: Server, connect: Callable[..., Client], auth: Any, name: str, value: str | None
) -> None:
    await connect(auth).request("GET", "/")
    assert server.asked[0][2].get(name) == value


@pytest.mark.parametrize(
    "make",
    [
        lambda: Bearer(""),
        lambda: Bearer("a b"),
        lambda: Bearer("a\r\nX-Evil: 1"),
        lambda: Bearer("é"),
        lambda: Basic("a:b", "c"),
        lambda: Header("", "x"),
        lambda: Header("X Y", "x"),
        lambda: Header("X", ""),
        lambda: Header("X", f"{SECRET}\n"),
    ],
)
def test_credentials_that_no_header_can_hold(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidInput) as refused:
        make()
    assert SECRET not in str(refused.value)


def test_credentials_are_not_shown() -> None:
    for one in (Bearer(SECRET), Basic("user", SECRET), Header("X", SECRET)):
        assert SECRET not in repr(one)


async def test_ids_and_parameters_are_quoted(
    server: Server, connect: Callable[..., Client]
) -> None:
    params = {"q": "a&b=c d", "tag": ["x", "y"], "all": True, "after": None, "limit": 2}
    await connect().request("GET", "/contacts/{}/notes/{}", "a/b?é", "%2e", params=params)
    path = "/contacts/a%2Fb%3F%C3%A9/notes/%252e?q=a%26b%3Dc%20d&tag=x&tag=y&all=true&limit=2"
    assert server.asked[0][1] == path


async def test_a_form(server: Server, connect: Callable[..., Client]) -> None:
    await connect().request("POST", "/token", form={"grant_type": "x y", "scope": ["a", "b"]})
    _, _, headers, body = server.asked[0]
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert body == b"grant_type=x%20y&scope=a&scope=b"


async def test_a_link_to_the_next_page(server: Server, connect: Callable[..., Client]) -> None:
    client = connect()
    await client.request("GET", f"{server.base}/contacts?after=c%2F1", params={"limit": 2})
    assert server.asked[0][1] == "/contacts?after=c%2F1&limit=2"


@pytest.mark.parametrize(
    ("path", "ids"),
    [
        ("contacts", ()),
        ("https://evil.example/contacts", ()),
        ("http://127.0.0.1:1/x", ()),
        (".evil.example/", ()),
        ("/contacts/{}", ()),
        ("/contacts", ("c_1",)),
        ("/contacts/{}", ("..",)),
        ("/contacts/{}", (".",)),
        ("/contacts/{}", ("",)),
        ("/contacts/é", ()),
        ("/contacts/\r\nHost: evil", ()),
        ("/contacts#x", ()),
    ],
)
async def test_a_call_never_leads_elsewhere(
    server: Server, connect: Callable[..., Client], path: str, ids: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="path"):
        await connect().request("GET", path, *ids)
    assert server.asked == []


@pytest.mark.parametrize("status", [204, 200])
async def test_an_answer_without_a_body(
    server: Server, connect: Callable[..., Client], status: int
) -> None:
    server.answers(status=status)
    answer = await connect().request("DELETE", "/contacts/{}", "c_1")
    assert (answer.status, answer.body) == (status, None)


NOT_JSON = {
    "html": f"<html>{SECRET}</html>".encode(),
    "cut": f'{{"email": "{SECRET}"'.encode(),
    "not UTF-8": b'{"a": "\xff"}',
    "NaN": b'{"a": NaN}',
    "unclosed": b"[" * 200_000,
}


@pytest.mark.parametrize("status", [200, 400, 503])
@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
async def test_an_answer_that_is_not_json(
    server: Server, connect: Callable[..., Client], status: int, body: bytes
) -> None:
    server.answers(status=status, body=body)
    with pytest.raises(BadAnswer) as bad:
        await connect().request("GET", "/")
    assert bad.value.status == status
    assert str(bad.value) == f"answered {status} to a GET (not JSON)"


BEYOND_PYTHON = {
    "nested too deeply": b"[" * 100_000 + b"]" * 100_000,
    "a number that is too large": b'{"a": 1e400}',
}


@pytest.mark.parametrize(("problem", "body"), BEYOND_PYTHON.items())
async def test_json_that_cannot_be_read(
    server: Server, connect: Callable[..., Client], problem: str, body: bytes
) -> None:
    server.answers(body=body)
    with pytest.raises(BadAnswer, match=problem):
        await connect().request("GET", "/")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
async def test_an_answer_in_another_encoding_of_unicode(
    server: Server, connect: Callable[..., Client], encoding: str
) -> None:
    server.answers(body='{"a": "é"}'.encode(encoding))
    assert (await connect().request("GET", "/")).body == {"a": "é"}


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}])
async def test_an_answer_that_is_too_large(
    server: Server, connect: Callable[..., Client], headers: dict[str, str]
) -> None:
    text = b'"' + b"0" * 50_000_000 + b'"'
    server.answers(body=gzip.compress(text, 1) if headers else text, headers=headers)
    with pytest.raises(BadAnswer, match="more than 1000 bytes"):
        await connect(limits=ClientLimits(answer_bytes=1000)).request("GET", "/")


async def test_an_error_holds_the_answer_but_does_not_show_it(
    server: Server, connect: Callable[..., Client]
) -> None:
    body = {"code": "email_taken", "message": f"{SECRET} is taken", "existing": "c_9"}
    headers = {"Retry-After": "7", "Date": formatdate(NOW, usegmt=True)}
    server.answers(status=409, text=json.dumps(body), headers=headers)
    with pytest.raises(HttpError) as refused:
        await connect().request("POST", "/contacts", json={})
    error = refused.value
    assert str(error) == "answered 409 to a POST (code email_taken)"
    assert SECRET not in repr(error) + repr(error.answer)
    assert (error.status, error.code, error.retry_after) == (409, "email_taken", 7.0)
    assert error.answered_at == NOW
    assert error.answer is not None
    assert error.answer.body["existing"] == "c_9"


@pytest.mark.parametrize("code", ["a b", SECRET, "", "é", 7, None, ["x"], "x" * 101])
async def test_a_code_that_is_no_code_is_left_out(
    server: Server, connect: Callable[..., Client], code: Any
) -> None:
    server.answers(status=400, text=json.dumps({"code": code}))
    with pytest.raises(HttpError) as refused:
        await connect().request("GET", "/")
    assert (refused.value.code, str(refused.value)) == (None, "answered 400 to a GET")


@pytest.mark.parametrize("body", ["[]", "7", '"x"', "null", '{"error": 1}'])
async def test_an_error_of_another_form_has_no_code(
    server: Server, connect: Callable[..., Client], body: str
) -> None:
    server.answers(status=400, text=body)
    client = connect(code=lambda found: found["error"]["code"])
    with pytest.raises(HttpError) as refused:
        await client.request("GET", "/")
    assert refused.value.code is None


async def test_a_redirect_is_an_error(server: Server, connect: Callable[..., Client]) -> None:
    server.answers(status=302, headers={"Location": f"{server.base}/elsewhere"}, text="<html>")
    with pytest.raises(HttpError, match="302"):
        await connect(Bearer("tok_1")).request("GET", "/")
    assert len(server.asked) == 1


async def test_a_server_that_does_not_answer(
    server: Server, connect: Callable[..., Client]
) -> None:
    released = asyncio.Event()

    async def wait(_: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    server.answer = wait
    with pytest.raises(NoAnswer, match=r"did not answer a POST \(TimeoutError\)"):
        await connect(limits=ClientLimits(seconds=0.2)).request("POST", "/", json={})
    released.set()
    assert len(server.asked) == 1


async def test_a_broken_connection_is_not_tried_again(
    server: Server, connect: Callable[..., Client]
) -> None:
    async def leave(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    client = connect()
    await client.request("POST", "/", json={})
    server.answer = leave
    with pytest.raises(NoAnswer, match="ServerDisconnectedError"):
        await client.request("POST", "/", json={})
    assert len(server.asked) == 2


async def test_nobody_listens() -> None:
    client = Client("http://127.0.0.1:9")
    with pytest.raises(NoAnswer, match="Connect"):
        await client.request("GET", "/")
    await client.close()


async def test_an_answer_that_breaks_off(server: Server, connect: Callable[..., Client]) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"id"')
        assert request.transport is not None
        request.transport.close()
        return response

    server.answer = half
    with pytest.raises(NoAnswer, match="ClientPayloadError"):
        await connect().request("GET", "/")


async def test_the_connections_are_bounded(server: Server, connect: Callable[..., Client]) -> None:
    inside, most = 0, 0
    full = asyncio.Event()

    async def count(_: web.Request) -> web.StreamResponse:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        if inside == 3:
            full.set()
        await full.wait()
        await asyncio.sleep(0)
        inside -= 1
        return web.json_response({})

    server.answer = count
    client = connect(limits=ClientLimits(connections=3))
    await asyncio.gather(*(client.request("GET", "/") for _ in range(12)))
    assert most == 3


async def test_a_cookie_is_not_kept(server: Server) -> None:
    server.answers(headers={"Set-Cookie": "session=1"})
    # Sessions keep no cookie of a bare address anyway.
    client = Client(server.base.replace("127.0.0.1", "localhost"))
    await client.request("GET", "/")
    await client.request("GET", "/")
    assert "cookie" not in server.asked[1][2]
    await client.close()


async def test_a_closed_client(connect: Callable[..., Client]) -> None:
    client = connect()
    await client.close()
    with pytest.raises(RuntimeError, match="closed"):
        await client.request("GET", "/")


class Tokens:
    """A token endpoint. Every token but the valid ones is refused."""

    def __init__(self, server: Server) -> None:
        self.made = 0
        self.valid: set[str] = set()
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        server.answer = self._guard

    async def renew(self) -> Bearer:
        self.made += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        token = f"tok_{self.made}"
        self.valid = {token}
        return Bearer(token)

    async def _guard(self, request: web.Request) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return web.json_response({}, status=200 if token in self.valid else 401)


async def test_a_token_is_used_until_it_is_refused(
    server: Server, connect: Callable[..., Client]
) -> None:
    tokens = Tokens(server)
    client = connect(tokens.renew)
    for _ in range(3):
        await client.request("GET", "/")
    assert tokens.made == 1
    tokens.valid = set()
    await client.request("POST", "/", json={"a": 1})
    assert tokens.made == 2
    assert [body for method, _, _, body in server.asked if method == "POST"] == [b'{"a":1}'] * 2


async def test_a_token_that_names_an_address_is_used_there_alone(
    server: Server, connect: Callable[..., Client]
) -> None:
    named: list[str] = []

    async def renew() -> Bearer:
        return Bearer("token", named.pop(0))

    other = Server()
    async with other._server:
        client = connect(renew)
        named += [other.base, server.base, "http://elsewhere.example"]
        await client.request("GET", "/one", params={"a": 1})
        assert [path for _, path, *_ in other.asked] == ["/one?a=1"]
        other.answers(status=401)
        await client.request("GET", "/two")
        assert [path for _, path, *_ in server.asked] == ["/two"]
        server.answers(status=401)
        with pytest.raises(InvalidInput, match="TLS"):
            await client.request("GET", "/three")


async def test_all_calls_wait_for_one_renewal(
    server: Server, connect: Callable[..., Client]
) -> None:
    tokens = Tokens(server)
    client = connect(tokens.renew)
    await client.request("GET", "/")
    tokens.valid = set()
    await asyncio.gather(*(client.request("GET", "/") for _ in range(20)))
    assert tokens.made == 2


async def test_a_token_that_is_refused_again_is_an_error(
    server: Server, connect: Callable[..., Client]
) -> None:
    tokens = Tokens(server)
    client = connect(tokens.renew)
    server.answers(status=401, text="<html>")
    with pytest.raises(HttpError, match="401"):
        await client.request("GET", "/")
    assert (tokens.made, len(server.asked)) == (2, 2)


async def test_a_failed_renewal_fails_every_call_that_waits_and_is_made_once(
    server: Server, connect: Callable[..., Client]
) -> None:
    tokens = Tokens(server)
    tokens.error = OSError(SECRET)
    tokens.gate.clear()
    client = connect(tokens.renew)
    calls = [asyncio.create_task(client.request("GET", "/")) for _ in range(5)]
    while not tokens.made:
        await asyncio.sleep(0)
    tokens.gate.set()
    failed = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(each) for each in failed} == {RenewalFailed}
    assert SECRET not in repr(failed)
    assert (tokens.made, server.asked) == (1, [])
    tokens.error = None
    await client.request("GET", "/")
    assert tokens.made == 2


async def test_a_cancelled_call_does_not_cancel_the_renewal_of_the_others(
    server: Server, connect: Callable[..., Client]
) -> None:
    tokens = Tokens(server)
    tokens.gate.clear()
    client = connect(tokens.renew)
    first, second = (asyncio.create_task(client.request("GET", "/")) for _ in range(2))
    while not tokens.made:
        await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    tokens.gate.set()
    assert (await second).status == 200
    assert tokens.made == 1


async def test_a_renewal_that_hangs_is_over_in_time(
    server: Server, connect: Callable[..., Client]
) -> None:
    tokens = Tokens(server)
    tokens.gate.clear()
    client = connect(tokens.renew, limits=ClientLimits(seconds=0.2))
    with pytest.raises(HttpError):
        await client.request("GET", "/")
    async with asyncio.timeout(30):
        while tokens.made < 2:
            with suppress(HttpError):
                await client.request("GET", "/")
    tokens.gate.set()
