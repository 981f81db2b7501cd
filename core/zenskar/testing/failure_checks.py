"""Check the failures of calls: lost answers, refusals, cancellation."""

import asyncio
from email.utils import formatdate

import pytest

from zenskar.errors import Failure, FailureKind
from zenskar.testing.author_part import NOW, AuthorPart
from zenskar.testing.check_method import check, require
from zenskar.testing.fault_proxy import ConnectionFault, FaultProxy, Refusal
from zenskar.testing.life_checks import create_person, person
from zenskar.testing.subject import Subject, failure_of

_REFUSED = {FailureKind.CREDENTIALS, FailureKind.REJECTED, FailureKind.RATE_LIMITED}
_UNREAD = {FailureKind.UNKNOWN_OUTCOME, FailureKind.TRANSIENT}
_PATIENCE_SECONDS = 10.0


class FailureChecks(AuthorPart):
    """The checks of `classify_error`, through calls that a proxy breaks."""

    @check("lost answers")
    async def test_a_create_without_an_answer_is_found(self) -> None:
        """A create whose answer is lost has an unknown outcome, and `find` returns its object."""
        async with self.breakable() as (subject, faults):
            for entity_type in subject.entity_types:
                with faults.faulty(ConnectionFault.LOSE_ANSWER):
                    failure = await _create(subject, entity_type)
                require(failure.kind is FailureKind.UNKNOWN_OUTCOME, _said(failure))
                found = await subject.find(entity_type, subject.record_id())
                require(found, "`find` returns no object")

    @check("lost answers")
    async def test_a_push_is_one_call(self) -> None:
        """A push that fails is not retried by the integration."""
        async with self.breakable() as (subject, faults):
            for entity_type in subject.entity_types:
                for fault in (ConnectionFault.BREAK, Refusal(500), Refusal(503)):
                    with faults.faulty(fault):
                        await _create(subject, entity_type)
                        writes = [method for method in faults.calls if method != "GET"]
                    require(len(writes) == 1, f"one push makes {len(writes)} calls")

    @check("idempotency keys")
    async def test_a_repeated_create_has_one_effect(self) -> None:
        """Two creates with one idempotency key create one object."""
        if self.integration.idempotency_key_lifetime is None:
            pytest.skip("the integration declares no `idempotency_key_lifetime`")
        async with self.connected() as subject:
            for entity_type in subject.entity_types:
                document = person(subject, entity_type)
                change = subject.new_change(entity_type, document, subject.record_id())
                push = subject.make_push(change)
                first, second = await subject.push(push), await subject.push(push)
                require(first.external_id == second.external_id, "two objects are created")

    @check("failures")
    async def test_refused_credentials(self) -> None:
        """401 means that our key is refused, and 403 a refusal that is no delete."""
        async with self.breakable() as (subject, faults):
            for failure in await _failures(subject, faults, Refusal(401)):
                require(failure.kind is FailureKind.CREDENTIALS, f"401: {_said(failure)}")
            allowed = {*_REFUSED, FailureKind.NOT_VISIBLE}
            for failure in await _failures(subject, faults, Refusal(403)):
                require(failure.kind in allowed, f"403: {_said(failure)}")

    @check("failures")
    async def test_not_found(self) -> None:
        """404 proves no delete, and 410 is classified."""
        async with self.breakable() as (subject, faults):
            for failure in await _failures(subject, faults, Refusal(404)):
                require(
                    failure.kind in {FailureKind.NOT_VISIBLE, FailureKind.REJECTED},
                    f"404: {_said(failure)}",
                )
            for entity_type in subject.entity_types:
                with faults.faulty(Refusal(410)):
                    failure = await _create(subject, entity_type)
                require(failure.kind is not FailureKind.BUG, f"410: {_said(failure)}")

    @check("failures")
    async def test_rate_limits(self) -> None:
        """429 means too many calls, and both forms of `Retry-After` are read."""
        in_seven = formatdate(NOW + 7, usegmt=True)
        async with self.breakable() as (subject, faults):
            for value in ("7", in_seven):
                refusal = Refusal(429, {"Retry-After": value})
                for failure in await _failures(subject, faults, refusal):
                    require(failure.kind is FailureKind.RATE_LIMITED, f"429: {_said(failure)}")
                    hint = failure.retry_after
                    require(hint == 7, f"`retry_after` of {value!r} is {hint}, not 7")

    @check("failures")
    async def test_server_errors(self) -> None:
        """500 to a write has an unknown outcome, because the write may have taken effect."""
        async with self.breakable() as (subject, faults):
            for entity_type in subject.entity_types:
                with faults.faulty(Refusal(500)):
                    failure = await _create(subject, entity_type)
                    read = await failure_of(subject.fetch(entity_type, "x_1"))
                require(failure.kind is FailureKind.UNKNOWN_OUTCOME, f"500: {_said(failure)}")
                require(read.kind in _UNREAD, f"500 to a fetch: {_said(read)}")

    @check("failures")
    async def test_broken_connections(self) -> None:
        """A connection that breaks before the answer leaves an unknown outcome."""
        async with self.breakable() as (subject, faults):
            for entity_type in subject.entity_types:
                with faults.faulty(ConnectionFault.BREAK):
                    failure = await _create(subject, entity_type)
                    read = await failure_of(subject.fetch(entity_type, "x_1"))
                require(failure.kind is FailureKind.UNKNOWN_OUTCOME, _said(failure))
                require(read.kind in _UNREAD, f"a fetch: {_said(read)}")

    @check("failures")
    def test_timeouts(self) -> None:
        """A timeout leaves an unknown outcome."""
        failure = self.closed().integration.classify_error(TimeoutError())
        kind = failure.kind if failure else None
        require(kind is FailureKind.UNKNOWN_OUTCOME, f"a timeout is classified as {kind}")

    @check("cancellation")
    async def test_a_cancelled_call_leaves_it_usable(self) -> None:
        """A call that waits for its answer ends when it is cancelled, and the next call works."""
        async with self.breakable() as (subject, faults):
            for entity_type in subject.entity_types:
                made = await create_person(subject, entity_type)
                for _ in range(2):
                    await _cancel_fetch(subject, faults, entity_type, made.external_id)
                seen = await subject.fetch(entity_type, made.external_id)
                require(seen.external_id == made.external_id, "the next call fails")


async def _create(subject: Subject, entity_type: str) -> Failure:
    return await failure_of(create_person(subject, entity_type))


async def _failures(subject: Subject, faults: FaultProxy, refusal: Refusal) -> list[Failure]:
    """Return the failures of a create and of a fetch of every entity type."""
    found: list[Failure] = []
    for entity_type in subject.entity_types:
        with faults.faulty(refusal):
            found += [
                await _create(subject, entity_type),
                await failure_of(subject.fetch(entity_type, "x_1")),
            ]
    return found


async def _cancel_fetch(
    subject: Subject, faults: FaultProxy, entity_type: str, external_id: str
) -> None:
    with faults.faulty(ConnectionFault.HANG):
        call = asyncio.create_task(subject.integration.fetch(entity_type, external_id))
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await faults.arrived.wait()
        call.cancel()
        done, _ = await asyncio.wait({call}, timeout=_PATIENCE_SECONDS)
        require(done, "a cancelled call does not end")
        require(call.cancelled(), "a cancelled call hides its cancellation")


def _said(failure: Failure) -> str:
    return f"the failure is {failure.kind}: {failure.message}"
