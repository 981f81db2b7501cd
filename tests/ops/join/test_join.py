"""Two systems that are both full are joined by a plan, and everybody exists once at the end."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.drift import factory, lose_what_waits
from tests.support.fake import FakeError
from tests.support.flow import Flow, open_flow, running_worker
from tests.support.unique_emails import UniqueEmails
from zenskar import FailureKind
from zenskar.db import connections
from zenskar.db.connections import PAUSED_BY_OPERATOR
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import StateConflict
from zenskar.model.actor import Actor
from zenskar.ops.join.join_plan import JoinPlan, JoinStepKind
from zenskar.ops.plan_file import read_plan, write_plan
from zenskar.ops.plan_result import PlanResult
from zenskar.sync.reconcile.field_fate import FieldFate

OPERATOR = Actor("ada", "a test")
PEOPLE, BOTH, HERE, THERE = 50, range(40), range(40, 45), range(45, 48)
TWICE_HERE = range(48, 50)


def email(number: int) -> str:
    return f"p{number}@example.com"


async def fill(flow: Flow, system: UniqueEmails) -> list[str]:
    """Fill both sides with 50 people; return the second records of the people who have two."""
    for number in (*BOTH, *HERE, *TWICE_HERE):
        await flow.create(name=f"Person {number}", email=email(number))
    second = [
        await flow.create(name=f"Person {number} again", email=email(number))
        for number in TWICE_HERE
    ]
    for number in (*BOTH, *THERE, *TWICE_HERE):
        other = "There" if number < 10 else f"Person {number}"
        system.create(name=other, email=email(number).upper(), phone=str(number))
    system.webhooks.clear()
    return second


async def plan(flow: Flow, **options: Any) -> JoinPlan:
    options.setdefault("match_by", ("email",))
    return await factory(flow).join_planner().plan("fake", "customer", **options)


async def apply(flow: Flow, made: JoinPlan) -> PlanResult:
    return await factory(flow).join_applier(wait_seconds=10).apply(made)


async def pause(flow: Flow) -> None:
    await in_transaction(
        flow.runtime.engine, lambda c: connections.pause(c, "fake", PAUSED_BY_OPERATOR)
    )


async def resume(flow: Flow) -> None:
    await in_transaction(flow.runtime.engine, lambda c: connections.resume(c, "fake", "ada"))
    await flow.settle()


async def assert_everybody_exists_once(flow: Flow, system: UniqueEmails) -> None:
    here = await flow.rows("SELECT email, name, phone FROM customers WHERE deleted_at IS NULL")
    there = [data for data in system.objects.values() if data is not None]
    assert sorted(row["email"].lower() for row in here) == sorted(map(email, range(PEOPLE)))
    names = ("email", "name", "phone")
    both = ([tuple(one.get(n) for n in names) for one in side] for side in (here, there))
    assert Counter(next(both)) == Counter(next(both))
    mapped = "SELECT count(*) FROM external_mappings WHERE state = 'active'"
    assert await flow.scalar(mapped) == PEOPLE


async def test_fifty_people_are_fifty_when_the_plan_comes_first(
    database_url: str, tmp_path: Path
) -> None:
    system = UniqueEmails(page_size=20)
    async with open_flow(database_url, working=False, systems={"fake": system}) as flow:
        second = await fill(flow, system)
        await lose_what_waits(flow)
        await pause(flow)
        made = await plan(flow)
        write_plan(tmp_path / "plan.json", "backfill", [made.to_json()])
        (read,) = map(JoinPlan.from_json, read_plan(tmp_path / "plan.json", "backfill"))
        assert read == made
        assert "example.com" not in orjson.dumps(made.to_json()).decode()
        counts = {name: count for name, count in made.counts.items() if count}
        assert counts == {
            "link": 40,
            "create_here": 3,
            "create_there": 5,
            "conflict": 40,
            "ambiguous": 2,
        }
        assert system.calls == []
        assert await flow.scalar("SELECT count(*) FROM external_mappings") == 0
        async with running_worker(flow.runtime):
            result = await apply(flow, read)
            assert (result.done, result.queued, result.skipped) == (43, 5, [])
            assert (system.calls, result.problem) == ([], None)
            linker = factory(flow).object_linker(wait_seconds=10)
            for each, twin in zip(made.ambiguous, second, strict=True):
                (external_id,) = each.external_ids
                assert twin in each.record_ids
                (first,) = set(each.record_ids) - {twin}
                await linker.link("fake", "customer", external_id, first, OPERATOR)
                await flow.runtime.customers.delete(twin, correlation_id="test")
            await resume(flow)
        await assert_everybody_exists_once(flow, system)


async def test_fifty_people_are_fifty_when_the_connection_works_first(database_url: str) -> None:
    system = UniqueEmails(page_size=20)
    async with open_flow(database_url, working=False, systems={"fake": system}) as flow:
        second = await fill(flow, system)
        async with running_worker(flow.runtime):
            await flow.settle()
            made = await plan(flow)
            counts = {name: count for name, count in made.counts.items() if count}
            assert counts == {"create_here": 3, "ambiguous": 2, "linked": 47}
            doubtful = {r for each in made.ambiguous for r in each.record_ids}
            assert doubtful > set(second)
            result = await apply(flow, made)
            assert (result.done, result.skipped) == (3, [])
            # Either of the two records may have got the object.
            rows = await flow.rows("SELECT CAST(entity_id AS text) AS id FROM external_mappings")
            for twin in doubtful - {row["id"] for row in rows}:
                await flow.runtime.customers.delete(twin, correlation_id="test")
            await flow.settle()
        await assert_everybody_exists_once(flow, system)


async def test_a_step_whose_sides_have_changed_is_skipped(database_url: str) -> None:
    system = UniqueEmails()
    async with open_flow(database_url, working=False, systems={"fake": system}) as flow:
        ids = [await flow.create(name="A", email=email(number)) for number in range(6)]
        for number in (0, 1, 2, 3, 7, 8):
            system.create(name="A", email=email(number))
        system.webhooks.clear()
        await lose_what_waits(flow)
        made = await plan(flow)
        there = {s.record_id: s.external_id for s in made.steps if s.external_id is not None}
        free = [s for s in made.steps if s.kind is JoinStepKind.CREATE_HERE]
        customers = flow.runtime.customers
        await customers.patch(ids[0], {"name": "B"}, correlation_id="test")
        system.edit(there[ids[1]] or "", phone="1")
        system.objects[there[ids[2]] or ""] = None
        await flow.create(name="New", email=email(7))
        await customers.delete(ids[5], correlation_id="test")
        system.webhooks.clear()
        await lose_what_waits(flow)
        async with running_worker(flow.runtime):
            result = await apply(flow, made)
            assert {each.record_id: each.why.split(":")[0] for each in result.skipped} == {
                ids[0]: "the record was changed",
                ids[1]: "the object was changed",
                ids[2]: "the object is deleted",
                ids[5]: "the record is deleted",
                free[0].record_id: result.skipped[3].why,
            }
            assert result.skipped[3].why.startswith("the object matches record")
            assert (result.steps, result.done) == (8, 3)
            again = await apply(flow, made)
        assert (again.done, again.already_done, len(again.skipped)) == (0, 3, 5)
        assert await flow.scalar("SELECT count(*) FROM external_mappings") == 3


async def test_a_run_that_stops_is_completed_by_the_next_one(database_url: str) -> None:
    system = UniqueEmails()
    async with open_flow(
        database_url, working=False, systems={"fake": system}, retry_max_attempts=1
    ) as flow:
        for number in range(70):
            system.create(name="A", email=email(number))
        system.webhooks.clear()
        made = await plan(flow)

        def refuse(hook: str, _about: str | None) -> None:
            if hook == "fetch" and len(system.fetches) > 60:
                raise FakeError(FailureKind.CREDENTIALS)

        system.reading = refuse
        async with running_worker(flow.runtime):
            stopped = await apply(flow, made)
            assert (stopped.done, stopped.problem) == (50, "fake credentials")
            system.reading = lambda _hook, _about: None
            result = await apply(flow, made)
        assert (result.done, result.already_done, result.problem) == (20, 50, None)
        assert await flow.scalar("SELECT count(*) FROM customers") == 70


async def test_a_plan_says_which_side_wins_and_follows_the_settings(database_url: str) -> None:
    system, rules = UniqueEmails(), {"FAKE_JOIN_WINNER": "name=external"}
    async with open_flow(
        database_url, working=False, systems={"fake": system}, environment=rules
    ) as flow:
        await flow.create(name="Here", email=email(1), phone="1", address={"city": "Bern"})
        system.create(name="There", email=email(1), phone="2", metadata={"plan": "pro"})
        system.webhooks.clear()
        await lose_what_waits(flow)
        made = await plan(flow)
        (step,) = made.steps
        assert step.fields == {
            "/address": FieldFate.THERE,
            "/metadata/plan": FieldFate.HERE,
            "/name": FieldFate.THERE_WINS,
            "/phone": FieldFate.HERE_WINS,
        }
        by_ids = await plan(flow, match_by=())
        assert (by_ids.counts["link"], by_ids.counts["create_here"]) == (0, 1)
    async with open_flow(database_url, systems={"fake": system}) as flow:
        (skipped,) = (await apply(flow, made)).skipped
        assert skipped.why == "the settings decide otherwise about its fields"


async def test_a_plan_of_another_account_is_refused(database_url: str) -> None:
    system = UniqueEmails(account="one")
    async with open_flow(database_url, working=False, systems={"fake": system}) as flow:
        made = replace(await plan(flow), account="two")
        with pytest.raises(StateConflict, match="another account"):
            await apply(flow, made)
