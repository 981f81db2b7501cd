"""The contract of a bus, as checks that the tests of every bus run."""

import asyncio
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.bus.port import Bus, Delivery
from zenskar.db.outbox import OutboxMessage
from zenskar.errors import StateConflict
from zenskar.model.envelope import OUTBOUND, SCHEMA_VERSION, Envelope, EnvelopeData
from zenskar.testing.check_method import check, keep_checks, require

_PATIENCE_SECONDS = 30.0
_LOOKS = 3
"""The receives in a row that must return nothing from an empty bus."""


class BusConformance:
    """All promises of `Bus`: subclass it in a test module, and pytest runs the checks.

    A subclass cannot replace a check. A mark `xfail` or `skip` on an override needs a reason.
    """

    def __init_subclass__(cls) -> None:
        """Keep the checks; raises `TypeError` for an override without a reason."""
        super().__init_subclass__()
        keep_checks(cls)

    def open_bus(self) -> AbstractAsyncContextManager[Bus]:
        """Return a manager of another bus on the messages of this check, as in another process."""
        raise NotImplementedError

    def transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Return a manager of a transaction, which an error rolls back."""
        raise NotImplementedError

    async def move(self, bus: Bus) -> None:
        """Move delayed messages to their receivers, as a relay does; by default the bus does."""

    @check("order")
    async def test_messages_of_a_key_keep_their_order(self) -> None:
        """Every message arrives, and those of a key in the order of publishing."""
        async with self.open_bus() as bus:
            await bus.publish([_message(number, f"key:{number % 5}") for number in range(50)])
            found = await _receive(bus, 50)
            for key in range(5):
                numbers = [_number(each) for each in found if each.key == f"key:{key}"]
                require(numbers == [*range(key, 50, 5)], f"key:{key} arrives as {numbers}")

    @check("order")
    async def test_a_held_key_blocks_its_next_message_alone(self) -> None:
        """With exclusive keys, a held message holds back its own key, until it is acknowledged."""
        async with self.open_bus() as bus:
            await bus.publish([_message(1, "a"), _message(2, "a"), _message(3, "b")])
            held = {_number(each): each for each in await _hold(bus, 2)}
            require(set(held) == {1, 3}, f"received {sorted(held)} instead of 1 and 3")
            await _require_empty(bus)
            await bus.ack([held[1]])
            (later,) = await _receive(bus, 1)
            require(_number(later) == 2, "the next message of the key is another")

    @check("delivery")
    async def test_an_acknowledged_message_is_gone(self) -> None:
        """No bus delivers an acknowledged message again."""
        async with self.open_bus() as bus:
            await bus.publish([_message(number) for number in range(3)])
            await _receive(bus, 3)
            await _require_empty(bus)
        async with self.open_bus() as other:
            await _require_empty(other)
            require(await other.depth() == {}, "acknowledged messages are waiting")

    @check("delivery")
    async def test_held_messages_of_a_stopped_bus_go_to_another(self) -> None:
        """A bus that stops releases the messages that it holds."""
        async with self.open_bus() as stopped:
            await stopped.publish([_message(number) for number in range(3)])
            held = await _hold(stopped, 3)
            await stopped.ack([each for each in held if _number(each) == 1])
        async with self.open_bus() as other:
            found = {_number(each) for each in await _receive(other, 2)}
            require(found >= {0, 2}, f"received {sorted(found)} instead of 0 and 2")

    @check("delivery")
    async def test_two_buses_share_the_messages(self) -> None:
        """Each message reaches one of the buses of two processes."""
        async with self.open_bus() as one, self.open_bus() as two:
            await one.publish([_message(number) for number in range(40)])
            found: set[int] = set()
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while len(found) < 40:
                    for bus in (one, two):
                        some = await bus.receive(OUTBOUND, 10, exclusive_keys=True)
                        await bus.ack(some)
                        found |= {_number(each) for each in some}
            require(found == {*range(40)}, "messages are lost")

    @check("retries")
    async def test_a_requeued_message_counts_no_attempt(self) -> None:
        """`requeue` delivers a held message again soon, and has no effect on any other."""
        async with self.open_bus() as bus:
            await bus.publish([_message(1)])
            held = await _hold(bus, 1)
            await bus.requeue(held)
            (again,) = await _hold(bus, 1)
            require(again.attempts == 1, f"the message has {again.attempts} attempts")
            await bus.ack([again])
            await bus.requeue(held)
            await _require_empty(bus)

    @check("retries")
    async def test_a_delayed_message_counts_its_attempt(self) -> None:
        """`nack` delivers a message again after a delay, with one more attempt."""
        async with self.open_bus() as bus:
            await bus.publish([_message(1)])
            held = await _hold(bus, 1)
            await bus.nack(held, 0.05)
            require(await bus.depth() == {OUTBOUND: 1}, "the message does not wait")
            await self.move(bus)
            (again,) = await _receive(bus, 1)
            require(again.attempts == 2, f"the message has {again.attempts} attempts")
            require(again.value == held[0].value, "the message has changed")

    @check("retries")
    async def test_a_parked_message_waits(self) -> None:
        """`park` holds a message back for longer than a delay."""
        async with self.open_bus() as bus:
            await bus.publish([_message(1)])
            await bus.park(await _hold(bus, 1))
            await _require_empty(bus)
            require(await bus.depth() == {OUTBOUND: 1}, "the message does not wait")

    @check("transactions")
    async def test_a_message_is_gone_with_its_transaction(self) -> None:
        """`ack_in` and `forget` acknowledge a message with the commit of a transaction."""
        async with self.open_bus() as bus:
            await bus.publish([_message(1)])
            held = await _hold(bus, 1)
            async with self.transaction() as db:
                await bus.ack_in(db, held)
            bus.forget(held)
            await _require_empty(bus)
            require(await bus.depth() == {}, "the message is waiting")

    @check("transactions")
    async def test_an_acknowledgement_that_is_rolled_back_has_no_effect(self) -> None:
        """After a rollback the message is still held, and is delivered again."""
        async with self.open_bus() as bus:
            await bus.publish([_message(1)])
            held = await _hold(bus, 1)
            with suppress(_RolledBackError):
                async with self.transaction() as db:
                    await bus.ack_in(db, held)
                    raise _RolledBackError
            await bus.requeue(held)
            (again,) = await _receive(bus, 1)
            require(_number(again) == 1, "another message is delivered")

    @check("health")
    async def test_a_healthy_bus_says_so(self) -> None:
        """`check` accepts a working bus; `depth`, `lag` and `log` describe it; `wake` returns."""
        async with self.open_bus() as bus:
            await bus.publish([_message(1)])
            bus.wake(OUTBOUND)
            await bus.ack(await _hold(bus, 1))
            await bus.check()
            require(await bus.depth() == {}, "an acknowledged message is waiting")
            require(set(bus.lag().values()) <= {0}, "an acknowledged message is left")
            log = await bus.log()
            require(log is None or OUTBOUND in {topic for topic, _ in log}, "the log has no topic")
            least = min(bus.receivers, bus.batch)
            require(least >= 1, "`receivers` and `batch` must be at least 1")
            require(bus.exclusive_batches in {True, False}, "`exclusive_batches` is no bool")

    @check("log")
    async def test_a_message_of_the_log_is_read_and_skipped(self) -> None:
        """`read_at` receives nothing, and `skip` is refused while a worker receives the topic.

        Without a log, `read_at` finds nothing and `skip` is refused. `values_since` reads the
        messages of the log from a time on.
        """
        async with self.open_bus() as bus:
            before = datetime.now(UTC)
            await bus.publish([_message(1, "a"), _message(2, "a")])
            values = bus.values_since(OUTBOUND, before)
            require((values is None) is (await bus.log() is None), "only a log has a past")
            if values is not None:
                read = [orjson.loads(value)["id"] async for some in values for value in some]
                require(read[-2:] == ["1", "2"], f"the log has the messages {read}")
            topic, partition, head = await _head(bus)
            found = await bus.read_at(topic, partition, head)
            async with self.open_bus() as working:
                held = await _hold(working, 1)
                require(await _refuses(bus.skip(topic, partition, head)), "a held message is gone")
                require(_number(held[0]) == 1, "a message that was read is not received")
            if found is None:
                require(await bus.log() is None, "a message of the log is not found")
                return
            require(_number(found) == 1, f"message {_number(found)} is at the head")
            require(await _refuses(bus.skip(topic, partition, head + 1)), "another one is skipped")
            await bus.skip(topic, partition, head)
        async with self.open_bus() as other:
            (later,) = await _receive(other, 1)
            require(_number(later) == 2, "a skipped message is received")


class _RolledBackError(Exception):
    """The end of a transaction that must not take effect."""


def _message(number: int, key: str | None = None) -> OutboxMessage:
    data: EnvelopeData = {
        "schema_version": SCHEMA_VERSION,
        "direction": "outbound",
        "source_system": "fake",
    }
    envelope = Envelope(str(number), "test", "t", "s", "2026-01-01T00:00:00Z", data, "c")
    return OutboxMessage(OUTBOUND, key or f"customer:{number}", "fake", envelope)


async def _head(bus: Bus) -> tuple[str, int, int]:
    """Return the place of the oldest message, of the first partition without a log."""
    for (topic, partition), found in (await bus.log() or {}).items():
        if topic == OUTBOUND and found.behind:
            return topic, partition, found.head
    return OUTBOUND, 0, 0


async def _refuses(call: Awaitable[None]) -> bool:
    try:
        await call
    except StateConflict:
        return True
    return False


def _number(delivery: Delivery) -> int:
    return int(orjson.loads(delivery.value)["id"])


async def _hold(bus: Bus, count: int) -> list[Delivery]:
    """Receive so many messages, and hold them."""
    held: list[Delivery] = []
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while len(held) < count:
            held += await bus.receive(OUTBOUND, 10, exclusive_keys=True)
    return held


async def _receive(bus: Bus, count: int) -> list[Delivery]:
    """Receive so many messages, and acknowledge each at once."""
    found: list[Delivery] = []
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while len(found) < count:
            some = await bus.receive(OUTBOUND, 10, exclusive_keys=True)
            await bus.ack(some)
            found += some
    return found


async def _require_empty(bus: Bus) -> None:
    for _ in range(_LOOKS):
        found = await bus.receive(OUTBOUND, 10, exclusive_keys=True)
        require(not found, f"{len(found)} messages arrive that must not")
