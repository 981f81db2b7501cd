"""Messages on the bus: seen without values, and ended."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.flow import Flow, open_flow
from zenskar.bus.port import Delivery, LogRange
from zenskar.errors import NotFound, StateConflict, Unavailable
from zenskar.model.actor import Actor
from zenskar.model.envelope import INBOUND, OUTBOUND
from zenskar.ops.state.bus_messages import BusMessages
from zenskar.ops.state.message_place import LogPlace, OutboxPlace

BY = Actor("test", "a test", "it kills the workers")


def messages(flow: Flow) -> BusMessages:
    return flow.runtime.operations().bus_messages()


async def waiting(flow: Flow) -> OutboxPlace:
    """Return the place of the oldest message in the outbox."""
    return OutboxPlace(await flow.scalar("SELECT min(id) FROM outbox"))


def put_on_log(
    monkeypatch: pytest.MonkeyPatch, flow: Flow, values: Mapping[int, bytes], head: LogRange
) -> list[int]:
    """Put messages on a partition of `sync.inbound`, and return the skipped offsets."""
    skipped: list[int] = []

    async def log() -> Any:
        return {(INBOUND, 0): head}

    async def read_at(topic: str, partition: int, offset: int) -> Delivery | None:
        found = min((each for each in values if each >= offset), default=None)
        if found is None:
            return None
        return Delivery(topic, "fake:1", values[found], 1, partition=partition, offset=found)

    async def skip(_topic: str, _partition: int, offset: int) -> None:
        skipped.append(offset)

    for each in (log, read_at, skip):
        monkeypatch.setattr(flow.runtime.bus, each.__name__, each)
    return skipped


async def test_a_message_in_the_outbox_is_seen_without_values(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        record = await flow.create()
        found = await messages(flow).peek(await waiting(flow))
    assert (found.topic, found.state, found.status) == (OUTBOUND, "due", "pending")
    assert found.key == f"customer:{record}"
    assert found.message["data"]["document"]["email"] == "(hidden)"
    assert "ada@example.com" not in str(found)


async def test_an_ended_message_is_a_dead_letter_and_not_processed(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        await flow.create()
        done = await messages(flow).dead_letter(await waiting(flow), BY)
        assert done.dead
        assert await flow.scalar("SELECT count(*) FROM outbox") == 0
        (event,) = await flow.events("outbound")
        assert (str(event["id"]), event["status"]) == (done.event_id, "dead")
        assert (event["reason"], event["error_kind"]) == ("ended_by_operator", "rejected")
        (action,) = await flow.rows("SELECT * FROM operator_actions")
        assert (action["action"], str(action["target"])) == ("dead_letter", done.event_id)
        assert (action["reason"], action["result"]) == ("it kills the workers", {"dead": True})
        assert flow.systems["fake"].objects == {}


async def test_a_message_in_work_is_not_ended(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        await flow.create()
        place = await waiting(flow)
        held = await flow.runtime.bus.receive(OUTBOUND, 1, exclusive_keys=True)
        with pytest.raises(StateConflict, match="a worker processes the message now"):
            await messages(flow).dead_letter(place, BY)
        assert await flow.scalar("SELECT count(*) FROM outbox") == 1
        await flow.runtime.bus.ack(held)
        with pytest.raises(NotFound):
            await messages(flow).dead_letter(place, BY)
        assert await flow.scalar("SELECT count(*) FROM operator_actions") == 0


async def test_the_message_of_an_ended_event_makes_no_dead_letter(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        await flow.create()
        async with flow.runtime.engine.begin() as db:
            await db.exec_driver_sql("UPDATE sync_events SET status = 'succeeded'")
        done = await messages(flow).dead_letter(await waiting(flow), BY)
        assert not done.dead
        assert await flow.scalar("SELECT count(*) FROM sync_events WHERE status = 'dead'") == 0
        assert await flow.scalar("SELECT count(*) FROM outbox") == 0


async def test_the_head_of_a_partition_is_ended_and_skipped(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_flow(database_url, working=False) as flow:
        await flow.create(email="grace@example.com")
        text = (await flow.scalar("SELECT envelope FROM outbox")).encode()
        values = {4: b"no JSON, ada@example.com", 5: text}
        skipped = put_on_log(monkeypatch, flow, values, LogRange(0, 6, 4))
        found = await messages(flow).peek(LogPlace(INBOUND, 0))
        assert (found.place, found.state, found.key) == (f"{INBOUND}/0/4", "head", "(hidden)")
        assert found.problem == "the message is not JSON"
        assert "ada" not in str(found)
        with pytest.raises(StateConflict, match="at the head"):
            await messages(flow).dead_letter(LogPlace(INBOUND, 0, 5), BY)
        done = await messages(flow).dead_letter(LogPlace(INBOUND, 0, 4), BY)
        (event,) = await flow.events("inbound")
        assert (str(event["id"]), event["reason"]) == (done.event_id, "unreadable")
        assert skipped == [4]


async def test_nothing_changes_while_a_worker_receives_the_partition(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_flow(database_url, working=False) as flow:
        head = LogRange(0, 6, 4, owner="worker-1")
        skipped = put_on_log(monkeypatch, flow, {4: b"{}"}, head)
        with pytest.raises(StateConflict, match="stop the worker"):
            await messages(flow).dead_letter(LogPlace(INBOUND, 0), BY)
        assert (skipped, await flow.events("inbound")) == ([], [])
        with pytest.raises(NotFound, match="no partition"):
            await messages(flow).peek(LogPlace(INBOUND, 7))
        with pytest.raises(NotFound, match="no message"):
            await messages(flow).peek(LogPlace(INBOUND, 0, 6))


async def test_an_unreachable_kafka_is_a_problem_of_the_state(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_flow(database_url, working=False) as flow:

        async def away() -> None:
            raise Unavailable("no broker answers")

        await flow.create()
        monkeypatch.setattr(flow.runtime.bus, "log", away)
        state = await messages(flow).state(most=1)
    assert (state.problem, state.partitions) == ("no broker answers", {})
    assert [each.count for each in state.depths] == [1]
