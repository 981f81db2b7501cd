"""Call the asynchronous hooks of integrations: every call to an external system is made here.

A call is bounded in time, measured and checked; each way it can fail is a `CallFailed`.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from zenskar.errors import CallFailed, Failure, FailureKind
from zenskar.model.call_limit import Purpose
from zenskar.model.integration import ExternalObject, Push, PushResult
from zenskar.plugins.router import PluginRouter
from zenskar.telemetry.metrics import Metrics

T = TypeVar("T")
ANOTHER_OBJECT = "another_object"
"""The code of the failure of a call that was answered with another object."""
_STALL_SECONDS = 1.0
"""A call that ends so long after its limit was made by a process that stood still, as after SIGSTOP
or behind code that blocks the event loop."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of our clock, in Unix seconds, between which a call was made and answered.

    `seconds` and `ended` are those of the monotonic clock. Our clock may be set during a call, so
    `sent` and `received` are at least as far apart as `seconds`.
    """

    sent: float
    received: float
    seconds: float
    ended: float

    @classmethod
    def of(cls, sent: float, received: float, began: float, ended: float) -> "Timing":
        """Combine the readings of both clocks when a call was sent and when it was answered."""
        seconds = max(0.0, ended - began)
        return cls(min(sent, received - seconds), max(received, sent + seconds), seconds, ended)


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """The answer to a call. The external system had the state shown within `timing`."""

    value: T
    timing: Timing


class CallGate(Protocol):
    """Admits calls within the limits of external systems."""

    async def admit(self, source: str, hook: str, purpose: Purpose | None = None) -> None:
        """Count a call; raise `CallFailed` for a call that must be made later."""


@dataclass(frozen=True, slots=True)
class PluginInvoker:
    """Calls the hooks of the integration that owns a source system.

    `clock` shows Unix seconds and may be set; `monotonic` never is. Every call is counted and
    timed in the metrics, by source system, hook and result. `gate` admits each call, for the
    `purpose` that a hook usually has, or for this one.
    """

    router: PluginRouter
    metrics: Metrics
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    gate: CallGate | None = None
    purpose: Purpose | None = None

    async def call(
        self, source: str, hook: str, expect: type[T], *, seconds: float, **arguments: Any
    ) -> Answer[T]:
        """Call a hook whose answer has to be an `expect`.

        Raises `CallFailed`: of kind `UNKNOWN_OUTCOME` after `seconds` without an answer, of kind
        `BUG` for an answer of another type.
        """
        await self._admit(source, hook)
        with self._measured(source, hook):
            return _checked(await self._answer(source, hook, seconds, arguments), expect)

    async def find(
        self, source: str, entity_type: str, record_id: str, *, seconds: float
    ) -> Answer[ExternalObject] | None:
        """Find the object that carries a record's id, None when there is none.

        Raises `CallFailed`.
        """
        arguments = {"entity_type": entity_type, "record_id": record_id}
        await self._admit(source, "find")
        with self._measured(source, "find"):
            answer = await self._answer(source, "find", seconds, arguments)
            return None if answer.value is None else _checked(answer, ExternalObject)

    async def fetch(
        self, source: str, entity_type: str, external_id: str, *, seconds: float
    ) -> Answer[ExternalObject]:
        """Read an object; a failure that proves its deletion is an answer.

        Raises `CallFailed`; of kind `BUG` for an answer that shows another object.
        """
        arguments = {"entity_type": entity_type, "external_id": external_id}
        await self._admit(source, "fetch")
        ended = self._stopwatch()
        with self._measured(source, "fetch"):
            try:
                answer = await self._answer(source, "fetch", seconds, arguments)
            except CallFailed as error:
                if error.failure.kind is not FailureKind.GONE:
                    raise
                return Answer(ExternalObject(entity_type, external_id, None), ended())
            return _same(_checked(answer, ExternalObject), external_id)

    async def fetch_many(
        self, source: str, entity_type: str, external_ids: Sequence[str], *, seconds: float
    ) -> Answer[dict[str, ExternalObject]]:
        """Read several objects; the answer holds the returned objects of these ids by id.

        Raises `CallFailed`.
        """
        arguments = {"entity_type": entity_type, "external_ids": tuple(external_ids)}
        await self._admit(source, "fetch_many")
        with self._measured(source, "fetch_many"):
            answer = await self._answer(source, "fetch_many", seconds, arguments)
            seen = [expected(each, ExternalObject) for each in _listed(answer.value)]
        wanted = {(entity_type, each) for each in external_ids}
        found = {s.external_id: s for s in seen if (s.entity_type, s.external_id) in wanted}
        return Answer(found, answer.timing)

    async def push_many(
        self, source: str, pushes: Sequence[Push], *, seconds: float
    ) -> Answer[list[PushResult | CallFailed]]:
        """Make several pushes in one call; the answer holds the result of each, in their order.

        Raises `CallFailed` when the whole call fails, or has another number of results.
        """
        await self._admit(source, "push_many")
        with self._measured(source, "push_many"):
            answer = await self._answer(source, "push_many", seconds, {"pushes": tuple(pushes)})
            results = _listed(answer.value)
            if len(results) != len(pushes):
                text = f"the integration returned {len(results)} results of {len(pushes)} pushes"
                raise CallFailed(Failure(FailureKind.BUG, text))
        return Answer([self._result(source, each) for each in results], answer.timing)

    def _result(self, source: str, value: Any) -> PushResult | CallFailed:
        if isinstance(value, CallFailed):
            return value
        if isinstance(value, Exception):
            return CallFailed(self.router.classify(source, value))
        try:
            return expected(value, PushResult)
        except CallFailed as error:
            return error

    async def _admit(self, source: str, hook: str) -> None:
        if self.gate is not None:
            await self.gate.admit(source, hook, self.purpose)

    async def _answer(
        self, source: str, hook: str, seconds: float, arguments: Mapping[str, Any]
    ) -> Answer[Any]:
        ended = self._stopwatch()
        try:
            async with asyncio.timeout(seconds):
                value = await self.router.call_async(source, hook, **arguments)
        except TimeoutError:
            text = f"no answer within {seconds:g} s"
            failure = _marked(Failure(FailureKind.UNKNOWN_OUTCOME, text), ended(), seconds)
            raise CallFailed(failure) from None
        except CallFailed as error:
            error.failure = _marked(error.failure, ended(), seconds)
            raise
        return Answer(value, ended())

    def _stopwatch(self) -> Callable[[], Timing]:
        """Start to time a call; call the result to end that."""
        sent, began = self.clock(), self.monotonic()
        return lambda: Timing.of(sent, self.clock(), began, self.monotonic())

    @contextmanager
    def _measured(self, source: str, hook: str) -> Iterator[None]:
        began = self.monotonic()
        try:
            yield
        except CallFailed as error:
            self._count(source, hook, error.failure.kind.value, began)
            raise
        self._count(source, hook, "ok", began)

    def _count(self, source: str, hook: str, result: str, began: float) -> None:
        self.metrics.calls.labels(source, hook, result).inc()
        self.metrics.call_seconds.labels(source, hook).observe(self.monotonic() - began)


def expected(value: Any, kind: type[T]) -> T:
    """Return a value of an integration; raise `CallFailed` unless it is of this type."""
    if not isinstance(value, kind):
        text = f"the integration returned {type(value).__name__} instead of {kind.__name__}"
        raise CallFailed(Failure(FailureKind.BUG, text))
    return value


def _marked(failure: Failure, timing: Timing, limit: float) -> Failure:
    return replace(failure, stalled=timing.seconds > limit + _STALL_SECONDS)


def _same(answer: Answer[ExternalObject], external_id: str) -> Answer[ExternalObject]:
    if answer.value.external_id == external_id:
        return answer
    text = (
        f"`fetch` of {external_id} returned {answer.value.external_id}; if the one was merged into "
        "the other, it must return the first with `merged_into`"
    )
    raise CallFailed(Failure(FailureKind.BUG, text, code=ANOTHER_OBJECT))


def _listed(value: Any) -> Sequence[Any]:
    if isinstance(value, Sequence):
        return value
    text = f"the integration returned {type(value).__name__} instead of a sequence"
    raise CallFailed(Failure(FailureKind.BUG, text))


def _checked(answer: Answer[Any], kind: type[T]) -> Answer[T]:
    expected(answer.value, kind)
    return answer
