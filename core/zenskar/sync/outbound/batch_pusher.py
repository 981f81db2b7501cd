"""Make pushes, those of several records in one call where the integration can."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from zenskar.bus.batcher import Batcher
from zenskar.errors import CallFailed, Failure, FailureKind, Unavailable
from zenskar.model.integration import Push, PushResult
from zenskar.plugins.invoker import Answer
from zenskar.sync.context import SyncContext
from zenskar.sync.resilience.failures import FAILURES_OF_ALL
from zenskar.sync.resilience.rate_limit import HELD
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.stack_traces import trace

_TURNS = 4
_MOST_ALONE = 10_000
_log = get_logger(__name__)

PushAnswer = Answer[PushResult]


@dataclass(frozen=True, slots=True)
class _WaitingPush:
    """A push that waits for a call since a time of the monotonic clock."""

    push: Push
    since: float


class BatchPusher:
    """Makes the pushes that wait at one time in one call, if one call can; each has its own answer.

    A connection makes a single call of an entity type at a time, and the next call has all pushes
    that wait meanwhile. After a call that fails for an unknown reason each record is pushed alone.
    """

    def __init__(self, context: SyncContext, *, timeout_seconds: float) -> None:
        self._context = context
        self._invoker = context.invoker
        self._timeout = timeout_seconds
        self._batchers: dict[tuple[str, str], Batcher[_WaitingPush, PushAnswer]] = {}
        self._alone: dict[tuple[str, str], None] = {}

    async def push(self, source: str, push: Push) -> PushAnswer:
        """Make a push, with the other pushes that wait if one call can. Raises `CallFailed`."""
        if not self._context.router.implements(source, "push_many"):
            return await self._push_alone(source, push)
        if (source, push.record_id) in self._alone:
            del self._alone[source, push.record_id]
            return await self._push_alone(source, push)
        key = (source, push.entity_type)
        if key not in self._batchers:
            most = self._context.router.owner(source).push_many_limit
            self._batchers[key] = Batcher(partial(self._process, source), most=most, turns=_TURNS)
        return await self._batchers[key].submit(_WaitingPush(push, self._context.monotonic()))

    async def _push_alone(self, source: str, push: Push) -> PushAnswer:
        return await self._invoker.call(
            source, "push", PushResult, seconds=self._timeout, push=push
        )

    async def _process(
        self, source: str, waiting: Sequence[_WaitingPush]
    ) -> Sequence[PushAnswer | Exception]:
        """Return the answer to each push. An error that is raised here would repeat the pushes."""
        held, now = self._context.backoff.held(source), self._context.monotonic()
        refusals = {
            number: CallFailed(held or _LATE)
            for number, each in enumerate(waiting)
            if held or now - each.since > self._most_seconds(source)
        }
        pushes = [each.push for number, each in enumerate(waiting) if number not in refusals]
        answers = iter(await self._push_all(source, pushes))
        return [refusals.get(number) or next(answers) for number in range(len(waiting))]

    def _most_seconds(self, source: str) -> float:
        """Return the longest wait of a push: its lease must not end before its answer."""
        lease = self._context.connections[source].settings.intent_lease_seconds
        return (lease - self._timeout) / 2

    async def _push_all(
        self, source: str, pushes: Sequence[Push]
    ) -> Sequence[PushAnswer | Exception]:
        if len(pushes) < 2:
            return [await self._answer_alone(source, push) for push in pushes]
        try:
            answer = await self._invoker.push_many(source, pushes, seconds=self._timeout)
        except CallFailed as error:
            return await self._failed(source, pushes, error.failure)
        except Unavailable as error:
            return [error for _ in pushes]
        except Exception as error:  # noqa: BLE001 - the pushes may have taken effect
            _log.error("outbound_failed", trace=trace(error))
            bug = Failure(FailureKind.BUG, f"{type(error).__name__} in the integration of {source}")
            return await self._failed(source, pushes, bug)
        return [
            self._own(source, push, result, answer)
            for push, result in zip(pushes, answer.value, strict=True)
        ]

    def _own(
        self,
        source: str,
        push: Push,
        result: PushResult | CallFailed,
        answer: Answer[list[PushResult | CallFailed]],
    ) -> PushAnswer | CallFailed:
        """Return the answer to a push, unless the result is about another object."""
        if isinstance(result, CallFailed):
            return result
        seen = result.seen
        same_object = push.external_id in {None, seen.external_id}
        if same_object and seen.record_id in {None, push.record_id}:
            return Answer(result, answer.timing)
        self._push_next_alone(source, [push])
        return CallFailed(_ANOTHER)

    async def _failed(
        self, source: str, pushes: Sequence[Push], failure: Failure
    ) -> Sequence[PushAnswer | Exception]:
        """Return the answers after a failure of the whole call.

        A refusal had no effect and may be due to one push, so each is made alone at once.
        """
        if failure.kind is FailureKind.BUG:
            self._push_next_alone(source, pushes)
            failure = Failure(FailureKind.UNKNOWN_OUTCOME, failure.message)
        if failure.kind in FAILURES_OF_ALL:
            return [CallFailed(failure) for _ in pushes]
        return await asyncio.gather(*(self._answer_alone(source, push) for push in pushes))

    def _push_next_alone(self, source: str, pushes: Sequence[Push]) -> None:
        """Make the next push of these records alone, so that a bug harms its own record only."""
        self._alone.update(((source, push.record_id), None) for push in pushes)
        while len(self._alone) > _MOST_ALONE:
            del self._alone[next(iter(self._alone))]

    async def _answer_alone(self, source: str, push: Push) -> PushAnswer | Exception:
        try:
            return await self._push_alone(source, push)
        except (CallFailed, Unavailable) as error:
            return error


_ANOTHER = Failure(
    FailureKind.UNKNOWN_OUTCOME,
    "`push_many` of the integration returned the result of another push",
)
"""The circuit breaker counts this failure once for a whole call."""
_LATE = Failure(FailureKind.RATE_LIMITED, "waited too long for a call before it", HELD, 0.0)
