"""Make the calls that a plan asks for, and turn the answers into observations."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from zenskar.errors import CallFailed, Failure, FailureKind
from zenskar.kernel import StepKind
from zenskar.model.integration import ExternalObject, Push, PushResult
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import Intent
from zenskar.sync.clocks import Timing
from zenskar.sync.context import SyncContext


@dataclass(frozen=True, slots=True)
class Call:
    """One call to make for a record. `revision` is its mapping's at this moment, 0 without one.

    `record_id` is empty when it is still to be seen whose object it is.
    """

    source: str
    entity_type: str
    record_id: str
    step: StepKind
    external_id: str | None = None
    revision: int = 0
    intent: Intent | None = None

    @property
    def pushes(self) -> bool:
        """Whether it may change the external system."""
        return self.step not in {StepKind.FETCH, StepKind.FIND}


class Caller:
    """Calls integrations, each call bounded in time."""

    def __init__(
        self,
        context: SyncContext,
        *,
        timeout_seconds: float,
    ) -> None:
        self._context = context
        self._timeout = timeout_seconds

    async def make(self, call: Call) -> Observation | None:
        """Make a call and return what its answer shows, None when `find` finds nothing.

        Raises `CallFailed`. The answer's snapshot was taken between sending and receipt.
        """
        if (held := self._context.backoff.held(call.source)) is not None:
            raise CallFailed(held)
        ended, began = self._context.stopwatch(), time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._send(call)
            observation = self._observation(call, answer, ended())
        except TimeoutError:
            self._count(call, FailureKind.UNKNOWN_OUTCOME.value, began)
            failure = Failure(FailureKind.UNKNOWN_OUTCOME, f"no answer within {self._timeout:g} s")
            raise CallFailed(failure) from None
        except CallFailed as error:
            self._count(call, error.failure.kind.value, began)
            raise
        self._count(call, "ok", began)
        return observation

    async def _send(self, call: Call) -> PushResult | None:
        source, entity_type = call.source, call.entity_type
        if call.step is StepKind.FETCH:
            return PushResult(await self._fetch(call))
        if call.step is StepKind.FIND:
            found = await self._context.router.call_async(
                source, "find", entity_type=entity_type, record_id=call.record_id
            )
            return None if found is None else PushResult(_expect(ExternalObject, found))
        answer = await self._context.router.call_async(source, "push", push=_push(call))
        result: PushResult = _expect(PushResult, answer)
        return result

    async def _fetch(self, call: Call) -> ExternalObject:
        source, entity_type, external_id = call.source, call.entity_type, call.external_id or ""
        arguments = {"entity_type": entity_type, "external_id": external_id}
        try:
            seen = await self._context.router.call_async(source, "fetch", **arguments)
        except CallFailed as error:
            return deleted_object(error, entity_type, external_id)
        fetched: ExternalObject = _expect(ExternalObject, seen)
        return fetched

    def _observation(
        self, call: Call, answer: PushResult | None, timing: Timing
    ) -> Observation | None:
        if answer is None:
            return None
        asof = self._context.clocks.date(call.source, timing, answer.seen.answered_at)
        shown = self._context.translator.shown(call.source, answer.seen)
        return Observation(
            kind=ObservationKind.ANSWER if call.pushes else ObservationKind.FETCH,
            external_id=answer.seen.external_id,
            asof=asof,
            fields=shown.fields,
            unseen=shown.unseen,
            # What we asked for by the record's id belongs to the record.
            record_id=call.record_id or answer.seen.record_id,
            seen_revision=call.revision if call.record_id else None,
            intent_id=call.intent.id if call.intent and call.pushes else None,
            replayed=answer.replayed,
            sent=asof,
        )

    def _count(self, call: Call, result: str, began: float) -> None:
        hook = "push" if call.pushes else call.step.value
        metrics, seconds = self._context.metrics, time.perf_counter() - began
        metrics.calls.labels(call.source, hook, result).inc()
        metrics.call_seconds.labels(call.source, hook).observe(seconds)


def deleted_object(error: CallFailed, entity_type: str, external_id: str) -> ExternalObject:
    """Return the deleted object that a failed fetch proves; raise the failure if it proves none."""
    if error.failure.kind is not FailureKind.GONE:
        raise error
    return ExternalObject(entity_type, external_id, None)


def _push(call: Call) -> Push:
    if call.intent is None:
        raise ValueError("a push needs its intent")
    return Push(
        kind=call.intent.kind,
        entity_type=call.entity_type,
        record_id=call.record_id,
        external_id=call.external_id,
        body=call.intent.body,
        idempotency_key=call.intent.id,
    )


def _expect(kind: type[Any], value: Any) -> Any:
    if not isinstance(value, kind):
        raise CallFailed(
            Failure(
                FailureKind.BUG,
                f"the integration returned {type(value).__name__} instead of {kind.__name__}",
            )
        )
    return value
