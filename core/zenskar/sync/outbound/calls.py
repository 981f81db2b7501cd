"""Make the calls of planned steps, and turn their answers into observations."""

from dataclasses import dataclass

from zenskar.errors import CallFailed, Failure, FailureKind
from zenskar.kernel import StepKind
from zenskar.model.integration import ExternalObject, Push, PushResult
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import Intent
from zenskar.plugins.invoker import ANOTHER_OBJECT, Timing
from zenskar.sync.context import SyncContext
from zenskar.sync.outbound.batch_pusher import BatchPusher
from zenskar.sync.outbound.object_fetcher import ObjectFetcher
from zenskar.sync.translator import memo_of


@dataclass(frozen=True, slots=True)
class Call:
    """A call for a record. `revision` is that of its mapping when planned, 0 without one.

    `record_id` is empty when the call is to find out the record of an object. `version` is the
    known version of the object that an update or a delete changes.
    """

    source: str
    entity_type: str
    record_id: str
    step: StepKind
    external_id: str | None = None
    revision: int = 0
    intent: Intent | None = None
    together: bool = False
    """Whether a fetch may share its call with other fetches."""
    version: str | None = None
    links: bool = False
    """Whether a fetch shows an object without a record, which is linked to this record."""

    @property
    def intent_id(self) -> str:
        """The id of the push that the call makes or resolves."""
        return self.intent.id if self.intent is not None else ""

    @property
    def pushes(self) -> bool:
        """Whether it may change the external system."""
        return self.step not in {StepKind.FETCH, StepKind.FIND}


class Caller:
    """Calls integrations, each call bounded in time."""

    def __init__(self, context: SyncContext, *, timeout_seconds: float) -> None:
        self._context = context
        self._invoker = context.invoker
        self._timeout = timeout_seconds
        self._fetcher = ObjectFetcher(context, timeout_seconds=timeout_seconds)
        self._pusher = BatchPusher(context, timeout_seconds=timeout_seconds)

    async def make(self, call: Call) -> Observation | None:
        """Make a call and return the observation of its answer, None when `find` finds nothing.

        Raises `CallFailed`. The answer's snapshot was taken between sending and receipt.
        """
        if (held := self._context.backoff.held(call.source)) is not None:
            raise CallFailed(held)
        source = call.source
        if call.pushes:
            pushed = await self._pusher.push(source, _push(call))
            _check_same(call, pushed.value.seen)
            return self._observation(call, pushed.value, pushed.timing)
        if call.step is StepKind.FETCH:
            fetch = self._fetcher.fetch_together if call.together else self._fetcher.fetch
            fetched = await fetch(source, call.entity_type, call.external_id or "")
            if call.links:
                check_free(call, fetched.value)
            return self._observation(call, PushResult(fetched.value), fetched.timing)
        found = await self._invoker.find(
            source, call.entity_type, call.record_id, seconds=self._timeout
        )
        if found is None:
            return None
        return self._observation(call, PushResult(found.value), found.timing)

    def _observation(self, call: Call, answer: PushResult, timing: Timing) -> Observation:
        """Return the observation of an answer; that of a fetch shows the object, too."""
        seen, translator = answer.seen, self._context.translator
        asof = self._context.clocks.date(call.source, timing, seen.answered_at)
        fetched = call.step is StepKind.FETCH
        if answer.shows:
            shown = translator.shown(call.source, seen, checked=fetched)
        else:
            shown = translator.blank(seen)
        return Observation(
            kind=ObservationKind.ANSWER if call.pushes else ObservationKind.FETCH,
            external_id=seen.external_id,
            asof=asof,
            fields=shown.fields,
            unseen=shown.unseen,
            apart=shown.apart,
            # An object that was requested by a record's id belongs to the record.
            record_id=call.record_id or seen.record_id,
            seen_revision=call.revision if call.record_id or call.revision else None,
            intent_id=call.intent.id if call.intent and call.pushes else None,
            replayed=answer.replayed,
            blank=not answer.shows,
            sent=asof,
            changed_at=seen.changed_at,
            version=seen.version,
            memo=None if seen.memo is None else memo_of(seen.memo),
            merged_into=seen.merged_into,
            purged=seen.purged,
            foreign=call.links and seen.record_id is None,
        )


def _check_same(call: Call, seen: ExternalObject) -> None:
    """Raise `CallFailed` if the answer to an update or a delete shows another object.

    The object may have been merged into that object, so it is fetched before any value counts.
    """
    if call.external_id not in {None, seen.external_id}:
        text = f"the push to {call.external_id} was answered with {seen.external_id}"
        raise CallFailed(Failure(FailureKind.UNKNOWN_OUTCOME, text, code=ANOTHER_OBJECT))


def check_free(call: Call, seen: ExternalObject) -> None:
    """Raise `CallFailed` unless an object that exists can be linked to the record of the call."""
    if seen.data is None:
        text = f"{seen.external_id}, which refused the create, was deleted"
        raise CallFailed(Failure(FailureKind.TRANSIENT, text))
    if seen.record_id not in {None, call.record_id}:
        raise CallFailed(anothers_object(FailureKind.REJECTED, seen.external_id))


def anothers_object(kind: FailureKind, external_id: str, owner: str | None = None) -> Failure:
    """Return the failure of a record whose object belongs to another record.

    Continuing would create a second object, or take one from the record that has it.
    """
    record = f"record {owner}" if owner else "another record"
    text = f"the external system answered with {external_id}, which belongs to {record}"
    return Failure(kind, text, code="anothers_object")


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
        if_version=call.version,
    )
