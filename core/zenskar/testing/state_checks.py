"""Check what an integration says about a state: its time, its version, its memo."""

import asyncio
import copy
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from zenskar.errors import FailureKind, InvalidInput
from zenskar.model.integration import ExternalObject, Page
from zenskar.sync.translator import memo_of
from zenskar.testing.author_part import AuthorPart
from zenskar.testing.check_method import check, require
from zenskar.testing.life_checks import create_person, person
from zenskar.testing.subject import SOURCE, Subject, failure_of

_MOST_VERSION = 512
_SLACK_SECONDS = 2


class StateChecks(AuthorPart):
    """The checks of `answered_at`, `version` and `memo`, where the integration offers them."""

    @check("clocks")
    async def test_answers_have_their_second(self) -> None:
        """Every object of an answer has `answered_at`, the second on the external clock."""
        async with self.connected() as subject:
            for entity_type in subject.entity_types:
                began = time.time()
                answers = await _answers(subject, entity_type)
                ended = time.time()
                seconds = {name: seen.answered_at for name, seen in answers.items()}
                if set(seconds.values()) == {None}:
                    pytest.skip("its objects have no `answered_at`")
                missing = [name for name, second in seconds.items() if second is None]
                require(not missing, f"no `answered_at` from {', '.join(missing)}")
                slack = subject.integration.clock_tolerance.total_seconds() + _SLACK_SECONDS
                wrong = [
                    name
                    for name, second in seconds.items()
                    if second is not None and not began - slack <= second <= ended + slack
                ]
                require(not wrong, f"`answered_at` is not the second of: {', '.join(wrong)}")

    @check("versions")
    async def test_a_version_names_a_state(self) -> None:
        """An unchanged object keeps its version, and every change gives it another."""
        async with self._versioned() as (subject, made):
            same = await subject.fetch(made.entity_type, made.external_id)
            require(same.version == made.version, "a fetch shows another version of an equal state")
            require(len(made.version or "") <= _MOST_VERSION, "a version is too long")
            later = await self._rename(subject, made, "Berta Quatsch")
            again = await self._rename(subject, later, "Carla Quatsch")
            versions = {made.version, later.version, again.version}
            require(len(versions) == 3, "two states have one version")

    @check("versions")
    async def test_a_push_to_another_version_is_refused(self) -> None:
        """An update with an old `if_version` has no effect, and fails as `STALE_VERSION`."""
        async with self._versioned() as (subject, made):
            await self._rename(subject, made, "Berta Quatsch")
            failure = await failure_of(_rename(subject, made, "Carla Quatsch"))
            require(failure.kind is FailureKind.STALE_VERSION, f"the failure is {failure.kind}")
            seen = await subject.fetch(made.entity_type, made.external_id)
            name = subject.fields(seen).get("/name")
            require(name == "Berta Quatsch", "a refused update has an effect")

    @check("versions")
    async def test_a_push_without_a_version_is_accepted(self) -> None:
        """An update without `if_version` has no condition."""
        async with self._versioned() as (subject, made):
            await _rename(subject, made, "Berta Quatsch")
            await _rename(subject, replace(made, version=None), "Carla Quatsch")

    @check("memos")
    async def test_equal_states_have_equal_memos(self) -> None:
        """Every look at an unchanged object has the same memo, which is small JSON."""
        async with self.connected() as subject:
            for entity_type in subject.entity_types:
                answers = await _answers(subject, entity_type)
                memos = {name: seen.memo for name, seen in answers.items() if seen.memo is not None}
                if not memos:
                    pytest.skip("its objects have no `memo`")
                try:
                    stored = {json.dumps(memo_of(memo), sort_keys=True) for memo in memos.values()}
                except InvalidInput as error:
                    raise AssertionError(f"a memo is not valid: {error}") from error
                require(len(stored) == 1, "the memos of one state differ")

    @check("memos")
    async def test_a_memo_is_not_changed(self) -> None:
        """`from_canonical` does not change the memo, and equal memos give equal bodies."""
        async with self.connected() as subject:
            for entity_type in subject.entity_types:
                old = person(subject, entity_type)
                made = await subject.create(entity_type, old, subject.record_id())
                if made.memo is None:
                    pytest.skip("its objects have no `memo`")
                change = subject.update_change(entity_type, old, {**old, "name": "Berta Quatsch"})
                change = replace(change, memo=memo_of(made.memo))
                before = copy.deepcopy(change)
                bodies = [subject.make_push(change, made).body for _ in range(2)]
                require(change == before, "`from_canonical` changes the memo")
                require(bodies[0] == bodies[1], "the bodies of one change differ")

    async def _rename(self, subject: Subject, seen: ExternalObject, name: str) -> ExternalObject:
        """Change the name of an object once its next state has another version."""
        await asyncio.sleep(self.version_seconds)
        return await _rename(subject, seen, name)

    @asynccontextmanager
    async def _versioned(self) -> AsyncIterator[tuple[Subject, ExternalObject]]:
        """Create an object with a version, in each check the first entity type."""
        async with self.connected() as subject:
            entity_type = subject.entity_types[0]
            made = await create_person(subject, entity_type)
            if made.version is None:
                made = await subject.fetch(entity_type, made.external_id)
            if made.version is None:
                pytest.skip("its objects have no `version`")
            yield subject, made


async def _answers(subject: Subject, entity_type: str) -> dict[str, ExternalObject]:
    """Return one object as each call shows it."""
    document = person(subject, entity_type)
    made = await subject.create(entity_type, document, subject.record_id())
    page: Page = await subject.page(entity_type, None)
    listed = next((seen for seen in page.objects if seen.external_id == made.external_id), None)
    found = await subject.find(entity_type, subject.record_id())
    answers = {
        "push": made,
        "fetch": await subject.fetch(entity_type, made.external_id),
        "find": found,
        "list_page": listed,
    }
    return {name: seen for name, seen in answers.items() if seen is not None}


async def _rename(subject: Subject, seen: ExternalObject, name: str) -> ExternalObject:
    """Change the name of an object under the condition of its version."""
    old = subject.translator.document(SOURCE, seen) or {}
    change = subject.update_change(seen.entity_type, old, {**old, "name": name})
    change = replace(change, record_id=subject.record_id(), memo=seen.memo)
    return await subject.push(subject.make_push(change, seen))
