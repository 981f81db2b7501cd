"""A Stripe that only answers: stub.py PORT [--delay 0.1] [--limit 50].

Every request creates a customer, after a delay; requests above a limit are refused. `GET /_seen`
returns the time of each request by customer, `DELETE /_seen` deletes these times.
"""

import argparse
import asyncio
import time
from collections import deque
from typing import cast
from urllib.parse import parse_qsl

import events
import orjson


class Stub:
    """The recorded requests of the stub. Times are those of the wall clock."""

    def __init__(self, delay: float, limit: float) -> None:
        self.delay = delay
        self.limit = limit
        self.seen: dict[str, float] = {}
        self.refused = 0
        self._recent: deque[float] = deque()
        self._made = 0

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Return a status and a body."""
        if path.startswith("/_seen"):
            return self._tell(method)
        if self._exceeded():
            self.refused += 1
            return 429, b'{"error": {"type": "rate_limit_error", "message": "too fast"}}'
        fields = dict(parse_qsl(body.decode()))
        self.seen[fields.get("name", "")] = time.time()
        self._made += 1
        made = events.customer(self._made, 0)
        made |= {name: fields.get(name) for name in ("name", "email", "phone")} | {"address": None}
        made["metadata"] = {
            key.removeprefix("metadata[").removesuffix("]"): value
            for key, value in fields.items()
            if key.startswith("metadata[")
        }
        return 200, orjson.dumps(made)

    def _tell(self, method: str) -> tuple[int, bytes]:
        if method == "DELETE":
            self.seen.clear()
            self._recent.clear()
            self.refused = 0
        return 200, orjson.dumps({"seen": self.seen, "refused": self.refused})

    def _exceeded(self) -> bool:
        """Return whether the last second had more requests than the limit."""
        if not self.limit:
            return False
        now = time.monotonic()
        while self._recent and self._recent[0] <= now - 1:
            self._recent.popleft()
        self._recent.append(now)
        return len(self._recent) > self.limit


class _Connection(asyncio.Protocol):
    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].decode("latin-1")
            length = 0
            for line in head.split("\r\n")[1:]:
                if line.lower().startswith("content-length:"):
                    length = int(line[15:])
            if len(self._received) < end + 4 + length:
                return
            body = self._received[end + 4 : end + 4 + length]
            self._received = self._received[end + 4 + length :]
            method, path, _ = head.split(" ", 2)
            status, answer = self._stub.answer(method, path, body)
            self._later(status, answer, 0 if path.startswith("/_") else self._stub.delay)

    def _later(self, status: int, answer: bytes, delay: float) -> None:
        head = (
            f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\n"
            f"Request-Id: req_stub\r\nContent-Length: {len(answer)}\r\n\r\n"
        )
        if delay:
            asyncio.get_running_loop().call_later(delay, self._write, head.encode() + answer)
        else:
            self._write(head.encode() + answer)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


async def _serve(port: int, stub: Stub) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(stub), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="stub.py", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--limit", type=float, default=0.0)
    options = parser.parse_args()
    asyncio.run(_serve(options.port, Stub(options.delay, options.limit)))


if __name__ == "__main__":
    main()
