"""Deliver webhooks in the background, with retries."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import orjson

from zenskar.http.lookalike.call_log import Log, LoggedDelivery
from zenskar.http.lookalike.delivery_plan import Plan, plan
from zenskar.http.lookalike.endpoints import Endpoints, WebhookEndpoint
from zenskar.http.lookalike.outstanding import DeliveryState
from zenskar.http.lookalike.reorder import Reordering, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zenskar.http.lookalike.background import Background
    from zenskar.http.lookalike.event_store import EventStore
    from zenskar.http.lookalike.faults import Faults
    from zenskar.http.lookalike.record_store import Record

CONTENT_TYPE = "application/json; charset=utf-8"
_MOST_ANSWER = 1000


@dataclass(frozen=True, slots=True)
class DeliveryRetries:
    """The number of attempts and the waits between them; each wait is twice the last."""

    base: float = 1.0
    attempts: int = 10
    timeout: float = 10.0
    longest: float = 3600.0

    def wait(self, attempt: int) -> float:
        """Return the seconds to wait after an attempt; attempts count from 1."""
        return min(self.base * 2.0 ** (attempt - 1), self.longest)


@dataclass(frozen=True, slots=True)
class WebhookSender:
    """The form of the requests: `encode` returns a body, and `sign` the headers of a request.

    `sign` takes the body, the Unix second, the secret and the URL. `acknowledged` takes the
    status and the beginning of an answer.
    """

    encode: Callable[[Record], bytes]
    sign: Callable[[bytes, int, str, str], Mapping[str, str]]
    acknowledged: Callable[[int, str], bool]
    user_agent: str
    retries: DeliveryRetries


@dataclass(frozen=True, slots=True)
class _Delivery:
    event: Record
    endpoint: str
    plan: Plan


class Deliveries:
    """The deliveries; each event and endpoint has its own task, so no delivery blocks another."""

    def __init__(
        self,
        events: EventStore,
        endpoints: Endpoints,
        faults: Faults,
        background: Background,
        clock: Callable[[], float],
        sender: WebhookSender,
    ) -> None:
        self.log: Log[LoggedDelivery] = Log()
        self._events = events
        self._endpoints = endpoints
        self._faults = faults
        self._background = background
        self._clock = clock
        self._sender = sender
        self._reordering = Reordering(background)
        self._session: aiohttp.ClientSession | None = None
        self._tasks: dict[str, set[asyncio.Task[None]]] = {}

    def start(self) -> None:
        """Open the client and resume the pending deliveries of an earlier run."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=256),
            timeout=aiohttp.ClientTimeout(total=self._sender.retries.timeout),
            headers={"User-Agent": self._sender.user_agent, "Content-Type": CONTENT_TYPE},
        )
        for event, endpoint in self._events.outstanding.pending():
            self._begin(_Delivery(self._events.by_id[event], endpoint, Plan()))

    async def close(self) -> None:
        """Close the client."""
        if self._session is not None:
            await self._session.close()

    def publish(self, event: Record) -> None:
        """Start the deliveries of a new event."""
        endpoints = self._endpoints.wanting(event["type"])
        if endpoints:
            planned = plan(self._faults.for_event(event["type"]))
            for endpoint in endpoints:
                self._begin(_Delivery(event, endpoint.id, planned))

    def forget(self, endpoint: str) -> None:
        """End the deliveries to a removed endpoint."""
        for task in self._tasks.pop(endpoint, ()):
            task.cancel()
        self._events.outstanding.forget_endpoint(endpoint)

    def flush(self) -> None:
        """Release the deliveries that are held for reordering."""
        self._reordering.flush()

    def clear(self) -> None:
        """Clear the log and the deliveries that are held for reordering."""
        self.log.clear()
        self._reordering.clear()

    def _begin(self, delivery: _Delivery) -> None:
        turn = self._turn(delivery)
        task = self._background.spawn(self._run(delivery, turn))
        tasks = self._tasks.setdefault(delivery.endpoint, set())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        # Also when the task was cancelled before it began: no other delivery may wait for the task.
        task.add_done_callback(lambda _: turn.tried.set())

    def _turn(self, delivery: _Delivery) -> Turn:
        if delivery.plan.reorder is not None:
            return self._reordering.turn(delivery.plan.reorder, delivery.endpoint)
        turn = Turn()
        turn.begun.set()
        return turn

    async def _run(self, delivery: _Delivery, turn: Turn) -> None:
        await asyncio.sleep(delivery.plan.delay)
        await turn.begun.wait()
        await self._deliver(delivery, turn)

    async def _deliver(self, delivery: _Delivery, turn: Turn) -> None:
        event, endpoint = delivery.event["id"], delivery.endpoint
        retries = self._sender.retries
        for attempt in range(1, retries.attempts + 1):
            delivered = await self._attempt(delivery, attempt)
            turn.tried.set()
            if delivered:
                self._events.outstanding.done(event, endpoint)
                return
            if attempt < retries.attempts:
                await asyncio.sleep(retries.wait(attempt))
        self._events.outstanding.mark(event, endpoint, DeliveryState.FAILED)

    async def _attempt(self, delivery: _Delivery, attempt: int) -> bool:
        # Read before each attempt: the secret may be rotated between attempts.
        endpoint = self._endpoints.get(delivery.endpoint)
        if endpoint is None:
            return True
        if attempt <= delivery.plan.drops:
            self._note(delivery, endpoint, attempt, None, "dropped by a fault")
            return False
        copies = delivery.plan.copies if attempt == delivery.plan.drops + 1 else 1
        body = self._sender.encode(delivery.event)
        sent = [self._send(delivery, endpoint, attempt, body) for _ in range(copies)]
        return any(await asyncio.gather(*sent))

    async def _send(
        self, delivery: _Delivery, endpoint: WebhookEndpoint, attempt: int, body: bytes
    ) -> bool:
        status, error, answer = None, None, ""
        try:
            status, answer = await self._post(endpoint, body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failure:
            error = type(failure).__name__
        self._note(delivery, endpoint, attempt, status, error, answer)
        return status is not None and self._sender.acknowledged(status, answer)

    async def _post(self, endpoint: WebhookEndpoint, body: bytes) -> tuple[int, str]:
        if self._session is None:
            raise ValueError("the look-alike is not running")
        at = int(self._clock())
        signed = self._sender.sign(body, at, endpoint.secret, endpoint.url)
        # A redirect is a failure, as at most systems.
        request = self._session.post(endpoint.url, data=body, headers=signed, allow_redirects=False)
        async with request as response:
            text = await response.content.read(_MOST_ANSWER)
            return response.status, text.decode(errors="replace")

    def _note(
        self,
        delivery: _Delivery,
        endpoint: WebhookEndpoint,
        attempt: int,
        status: int | None,
        error: str | None,
        answer: str = "",
    ) -> None:
        entry = LoggedDelivery(
            time=self._clock(),
            event=delivery.event["id"],
            type=delivery.event["type"],
            endpoint=endpoint.id,
            url=endpoint.url,
            attempt=attempt,
            status=status,
            error=error,
            fault=delivery.plan.faults,
            answer=answer,
        )
        self.log.add(entry)


def as_json(event: Record) -> bytes:
    """Return an event as indented JSON."""
    return orjson.dumps(event, option=orjson.OPT_INDENT_2)
