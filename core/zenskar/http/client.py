"""Call an external system over HTTP, once a call."""

import asyncio
import json as json_format
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from zenskar.http.addresses import base_address
from zenskar.http.credentials import Bearer, Credentials
from zenskar.http.http_errors import BadAnswer, HttpAnswer, HttpError, NoAnswer
from zenskar.http.renewal import Renew, Renewal
from zenskar.http.retry_hint import machine_code
from zenskar.model import json_text

_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """The limits of a client: seconds of a call, bytes of an answer, connections at once."""

    seconds: float = 30.0
    answer_bytes: int = 16 * 1024 * 1024
    connections: int = 20


class Client:
    """Calls one external system. The client never repeats a call, because only the core knows when.

    A redirect is an error: it would send the credentials to an address that was not configured.
    Raises `InvalidInput` for a base address that `base_address` refuses.
    """

    def __init__(
        self,
        base: Any,
        auth: Credentials | Renew | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        limits: ClientLimits | None = None,
        allow_http: bool = False,
        code: Callable[[Any], Any] | None = None,
    ) -> None:
        """Keep the settings; the first call builds the session.

        `auth` holds credentials, or is an async function that returns new ones. The client asks
        the function before the first call and after a 401, once for all calls that wait, and then
        makes the refused call again. The `base` of a `Bearer` goes before this base address. `code`
        returns the machine code in the JSON of an error.
        """
        self._base = base_address(base, allow_http=allow_http)
        self._allow_http = allow_http
        self._limits = limits or ClientLimits()
        self._credentials = auth if isinstance(auth, Credentials) else None
        self._renewal = Renewal(auth, self._limits.seconds) if callable(auth) else None
        self._headers = {"Accept": "application/json", **(headers or {})}
        self._code = code or (lambda body: body["code"])
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def close(self) -> None:
        """Close the connections. Later calls raise `RuntimeError`."""
        self._closed = True
        if self._renewal is not None:
            self._renewal.cancel()
        if self._session is not None:
            await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        *ids: str,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        form: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        """Make a call and return its answer.

        `path` follows the base address, and `{}` in it stands for an id, which is quoted. A list in
        `params` or `form` repeats its name; None leaves the name out. Raises `HttpError` unless the
        status is 2xx and the body is JSON or empty, and `ValueError` for a path or an id that
        leads elsewhere.
        """
        target = self._target(path, ids, params)
        body, kind = _json(json) if form is None else (_encoded(form), _FORM)
        own = {} if body is None else {"Content-Type": kind}
        call = _Call(method, target, body, {**self._headers, **own, **(headers or {})})
        try:
            async with asyncio.timeout(self._limits.seconds):
                answer = await self._answer(call)
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswer(method, problem=type(error).__name__) from error
        if not 200 <= answer.status < 300:
            raise HttpError(method, answer, code=self._code_of(answer.body))
        return answer

    def _target(self, path: str, ids: Sequence[str], params: Mapping[str, Any] | None) -> str:
        path = path.removeprefix(self._base)
        if not path.startswith("/"):
            raise ValueError("the path of a call begins with / or with the base address")
        if path.count("{}") != len(ids):
            raise ValueError("the path of a call has another number of {} than ids")
        for one in ids:
            path = path.replace("{}", _segment(one), 1)
        if not path.isascii() or not path.isprintable() or " " in path or "#" in path:
            raise ValueError("the path of a call has characters that must be quoted")
        query = _encoded(params or {})
        between = "" if not query else "&" if "?" in path else "?"
        return f"{path}{between}{query}"

    async def _answer(self, call: "_Call") -> HttpAnswer:
        if self._renewal is None:
            return await self._once(call, self._credentials)
        credentials = await self._renewal.credentials()
        try:
            answer = await self._once(call, credentials)
        except BadAnswer as error:
            if error.status != 401:
                raise
        else:
            if answer.status != 401:
                return answer
        return await self._once(call, await self._renewal.credentials(refused=credentials))

    async def _once(self, call: "_Call", credentials: Credentials | None) -> HttpAnswer:
        headers = dict(call.headers)
        if credentials is not None:
            name, value = credentials.header
            headers[name] = value
        url = URL(self._base_for(credentials) + call.target, encoded=True)
        async with self._open().request(
            call.method, url, data=call.body, headers=headers, allow_redirects=False
        ) as response:
            return await self._read(call.method, response)

    def _base_for(self, credentials: Credentials | None) -> str:
        named = credentials.base if isinstance(credentials, Bearer) else None
        return base_address(named, allow_http=self._allow_http) if named else self._base

    async def _read(self, method: str, response: aiohttp.ClientResponse) -> HttpAnswer:
        bare = HttpAnswer(response.status, headers=response.headers)
        text, most = bytearray(), self._limits.answer_bytes
        async for chunk in response.content.iter_any():
            text += chunk
            if len(text) > most:
                raise BadAnswer(method, bare, problem=f"more than {most} bytes")
        if not text.strip() or 300 <= response.status < 400:
            return bare
        try:
            body = json_text.read(text.decode(json_format.detect_encoding(text), "surrogatepass"))
        except ValueError:
            raise BadAnswer(method, bare, problem="not JSON") from None
        except RecursionError:
            raise BadAnswer(method, bare, problem="nested too deeply") from None
        except OverflowError:
            raise BadAnswer(method, bare, problem="a number that is too large") from None
        return HttpAnswer(response.status, body, response.headers)

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise RuntimeError("the client is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._limits.connections),
                timeout=aiohttp.ClientTimeout(total=None),
                # A cookie of one call must not change the next.
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _code_of(self, body: Any) -> str | None:
        try:
            return machine_code(self._code(body))
        except (LookupError, TypeError, AttributeError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    target: str
    body: str | None
    headers: Mapping[str, str]


def _segment(part: str) -> str:
    if not part or part in {".", ".."}:
        raise ValueError("an id in a path is empty or a dot")
    return quote(part, safe="", errors="replace")


def _json(value: Any) -> tuple[str | None, str]:
    text = json_format.dumps(value, allow_nan=False, separators=(",", ":"))
    return (None if value is None else text), "application/json"


def _encoded(fields: Mapping[str, Any]) -> str:
    pairs = [
        (name, _text(item))
        for name, value in fields.items()
        for item in (value if isinstance(value, (list, tuple)) else (value,))
        if item is not None
    ]
    return urlencode(pairs, quote_via=quote, errors="replace")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
