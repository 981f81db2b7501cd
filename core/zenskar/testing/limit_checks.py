"""Check declared call limits, reported usage, and pushes of several records in one call."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from zenskar.errors import CallFailed, Failure, FailureKind
from zenskar.model.integration import ExternalObject, Push, PushResult
from zenskar.plugins.base import BaseIntegration
from zenskar.sync.resilience.call_usage import checked_usage
from zenskar.testing.author_part import AuthorPart
from zenskar.testing.check_method import check, require
from zenskar.testing.fault_proxy import ConnectionFault, Refusal
from zenskar.testing.life_checks import create_person, person
from zenskar.testing.subject import CALL_SECONDS, SOURCE, Subject, failure_of

_MANY = 3
_OTHER_NAME = "Henriette Quatsch"


class LimitChecks(AuthorPart):
    """The checks of `call_limits`, `usage` and `push_many`."""

    @check("call limits")
    async def test_a_rate_limit_names_a_declared_limit(self) -> None:
        """A failure of 429 names no call limit, or a declared one that counts the hook."""
        self._skip_without_limits()
        async with self.breakable() as (subject, faults):
            for entity_type in subject.entity_types:
                calls = {
                    "push": create_person(subject, entity_type),
                    "fetch": subject.fetch(entity_type, "x_1"),
                    "find": subject.find(entity_type, subject.record_id()),
                }
                with faults.faulty(Refusal(429)):
                    failures = {hook: await failure_of(call) for hook, call in calls.items()}
                for hook, failure in failures.items():
                    _require_declared(subject, hook, failure)

    @check("call limits")
    async def test_usage_is_counted(self) -> None:
        """`usage` returns numbers of declared limits, before and after calls."""
        self._skip_without_limits()
        if self.integration.usage is BaseIntegration.usage:
            pytest.skip("the integration does not implement `usage`")
        _require_usage(self.closed())
        async with self.connected() as subject:
            for entity_type in subject.entity_types:
                await create_person(subject, entity_type)
            _require_usage(subject)

    @check("pushes together")
    async def test_each_push_has_its_result(self) -> None:
        """`push_many` returns the objects of creates, updates and deletes in their order."""
        self._skip_without_push_many()
        async with self.connected() as subject:
            for entity_type in subject.entity_types:
                made = await _created_together(subject, entity_type)
                for number, seen in enumerate(made):
                    found = await subject.fetch(entity_type, seen.external_id)
                    require(
                        found.record_id == subject.record_id(number),
                        "the results are in another order",
                    )
                pushes = [subject.make_delete(s, subject.record_id(n)) for n, s in enumerate(made)]
                gone = await _push_many(subject, pushes)
                for seen, result in zip(made, gone, strict=True):
                    after = _result(result)
                    require(after.external_id == seen.external_id, "another object is deleted")
                    require(after.data is None, "a delete shows the object with data")

    @check("pushes together")
    async def test_a_refused_push_leaves_the_others(self) -> None:
        """The error of one push is returned in its place, and the others take effect."""
        self._skip_without_push_many()
        async with self.connected() as subject:
            for entity_type in subject.entity_types:
                made = await _created_together(subject, entity_type)
                pushes = [_renamed(subject, seen, n) for n, seen in enumerate(made)]
                pushes[1] = replace(pushes[1], external_id=f"{made[1].external_id}0")
                results = await _push_many(subject, pushes)
                require(isinstance(results[1], CallFailed), "a refused push has no error")
                for seen, result in ((made[0], results[0]), (made[2], results[2])):
                    require(_result(result).external_id == seen.external_id, "another order")
                    found = subject.fields(await subject.fetch(entity_type, seen.external_id))
                    require(found["/name"] == _OTHER_NAME, "a push beside a refused one is lost")

    @check("pushes together")
    async def test_a_lost_answer_is_unknown_for_all(self) -> None:
        """A batch whose answer is lost has an unknown outcome, and `find` returns its objects."""
        self._skip_without_push_many()
        async with self.breakable() as (subject, faults):
            for entity_type in subject.entity_types:
                pushes = _creates(subject, entity_type)
                with faults.faulty(ConnectionFault.LOSE_ANSWER):
                    failures = await _failures(subject, pushes)
                unknown = {FailureKind.UNKNOWN_OUTCOME}
                require({each.kind for each in failures} == unknown, f"failures: {failures}")

    def _skip_without_limits(self) -> None:
        if not self.integration.call_limits:
            pytest.skip("the integration declares no `call_limits`")

    def _skip_without_push_many(self) -> None:
        if self.integration.push_many is BaseIntegration.push_many:
            pytest.skip("the integration does not implement `push_many`")


def _require_declared(subject: Subject, hook: str, failure: Failure) -> None:
    if failure.limit is None:
        return
    named = [
        limit
        for limit in subject.integration.call_limits
        if limit.name == failure.limit and limit.counts(hook)
    ]
    require(named, f"429 of `{hook}` names the limit {failure.limit!r}, which does not count it")


def _require_usage(subject: Subject) -> None:
    names = {limit.name for limit in subject.integration.call_limits}
    for usage in subject.integration.usage():
        try:
            checked_usage(usage)
        except ValueError as error:
            raise AssertionError(str(error)) from error
        require(usage.limit in names, f"`usage` names an undeclared limit: {usage.limit!r}")


def _creates(subject: Subject, entity_type: str) -> list[Push]:
    document = person(subject, entity_type)
    return [
        subject.make_push(subject.new_change(entity_type, document, subject.record_id(number)))
        for number in range(_MANY)
    ]


def _renamed(subject: Subject, seen: ExternalObject, number: int) -> Push:
    """Return the push of another name."""
    old = person(subject, seen.entity_type)
    change = subject.update_change(seen.entity_type, old, {**old, "name": _OTHER_NAME})
    return subject.make_push(replace(change, record_id=subject.record_id(number)), seen)


async def _created_together(subject: Subject, entity_type: str) -> list[ExternalObject]:
    results = await _push_many(subject, _creates(subject, entity_type))
    return [_result(each) for each in results]


async def _push_many(subject: Subject, pushes: Sequence[Push]) -> Sequence[PushResult | CallFailed]:
    answer = await subject.invoker.push_many(SOURCE, pushes, seconds=CALL_SECONDS)
    return answer.value


async def _failures(subject: Subject, pushes: Sequence[Push]) -> list[Failure]:
    """Return the failures of pushes, or of the call for all of them."""
    try:
        results = await _push_many(subject, pushes)
    except CallFailed as error:
        return [error.failure]
    failed = [each.failure for each in results if isinstance(each, CallFailed)]
    require(len(failed) == len(pushes), "a push without an answer succeeded")
    return failed


def _result(result: PushResult | CallFailed) -> ExternalObject:
    if isinstance(result, PushResult):
        return result.seen
    raise AssertionError(f"a push of several failed: {result.failure}")
