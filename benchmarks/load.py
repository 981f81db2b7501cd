"""Sends HTTP requests over open connections at low cost: the driver shares the machine."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import cast


@dataclass
class Sent:
    """The result of a load. `latencies` are in seconds, `statuses` count the answers."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def quantile(self, share: float) -> float:
        """Return a quantile of the latency, in milliseconds."""
        return quantile(self.latencies, share) * 1000


def quantile(values: list[float], share: float) -> float:
    """Return the value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class _Line(asyncio.Protocol):
    """A connection with at most one request in progress."""

    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._received = b""
        self._wanted = -1
        self._since = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, since: float) -> None:
        assert self._transport is not None
        self._since = since
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._wanted < 0:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._received[:end].lower()
            _, _, rest = head.partition(b"content-length:")
            self._wanted = end + 4 + int(rest.partition(b"\r\n")[0] or b"0")
        if len(self._received) < self._wanted:
            return
        status = int(self._received[9:12])
        self._received, self._wanted = b"", -1
        self._load.answered(self, status, self._since)

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost(exc)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class _Load:
    def __init__(self, requests: Iterator[bytes]) -> None:
        self.result = Sent()
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.free: deque[_Line] = deque()
        self.waiting: deque[tuple[bytes, float]] = deque()
        self.under_way = 0
        self.paced = False
        self.ended = False
        self._requests = requests

    def next(self, line: _Line) -> None:
        """Send the next request on a free connection."""
        if self.waiting:
            request, since = self.waiting.popleft()
        elif self.paced:
            self.free.append(line)
            return
        else:
            request, since = next(self._requests, b""), time.perf_counter()
        if not request:
            self.ended = True
            self.end_if_done()
            return
        self.under_way += 1
        line.send(request, since)

    def offer(self, request: bytes, since: float) -> None:
        """Send on a free connection now, or on the first that becomes free."""
        self.waiting.append((request, since))
        if self.free:
            self.next(self.free.popleft())

    def answered(self, line: _Line, status: int, since: float) -> None:
        self.under_way -= 1
        self.result.latencies.append(time.perf_counter() - since)
        self.result.statuses[status] = self.result.statuses.get(status, 0) + 1
        self.next(line)
        self.end_if_done()

    def end_if_done(self) -> None:
        if self.ended and not self.under_way and not self.waiting and not self.finished.done():
            self.finished.set_result(None)

    def lost(self, error: Exception | None) -> None:
        if self.under_way and not self.finished.done():
            self.finished.set_exception(error or ConnectionError("the server hung up"))


async def saturate(port: int, requests: Iterable[bytes], senders: int) -> Sent:
    """Send requests from each sender, the next right after each answer."""
    return await _run(port, requests, senders, rate=None)


async def pace(
    port: int, requests: Iterable[bytes], senders: int, rate: float, due: list[float] | None = None
) -> Sent:
    """Send at a fixed rate; a latency counts from when the request was due, which `due` gets."""
    return await _run(port, requests, senders, rate, due)


async def _run(
    port: int,
    requests: Iterable[bytes],
    senders: int,
    rate: float | None,
    moments: list[float] | None = None,
) -> Sent:
    loop, load = asyncio.get_running_loop(), _Load(iter(requests))
    load.paced = rate is not None
    lines = []
    for _ in range(senders):
        _, line = await loop.create_connection(lambda: _Line(load), "127.0.0.1", port)
        lines.append(line)
    began = time.perf_counter()
    for line in lines:
        load.next(line)
    if rate is not None:
        due = began
        for request in requests:
            due += 1 / rate
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            if moments is not None:
                moments.append(due)
            load.offer(request, due)
        load.ended = True
        load.end_if_done()
    await load.finished
    load.result.seconds = time.perf_counter() - began
    for line in lines:
        line.close()
    return load.result
