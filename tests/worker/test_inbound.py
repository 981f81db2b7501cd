"""After a burst, a worker waits for more messages, unless a whole batch waits."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from zenskar.bus.port import Delivery
from zenskar.model.envelope import INBOUND
from zenskar.schema_catalog import core_schemas
from zenskar.telemetry.metrics import Metrics
from zenskar.worker.inbound_consumer import _BURST, InboundConsumer
from zenskar.worker.progress import Progress

BATCH = 100


class Bus:
    """Gives the same number of messages, which nobody can read, again and again."""

    receivers = 1
    exclusive_batches = False

    def __init__(self, messages: int, waiting: int) -> None:
        self._messages, self._waiting = messages, waiting

    async def receive(self, topic: str, _most: int, *, exclusive_keys: bool) -> list[Delivery]:
        assert not exclusive_keys
        return [Delivery(topic, f"fake:{n}", b"no JSON", 1) for n in range(self._messages)]

    async def ack(self, _deliveries: Sequence[Delivery]) -> None: ...

    async def requeue(self, _deliveries: Sequence[Delivery]) -> None: ...

    def lag(self) -> Mapping[str, int]:
        return {INBOUND: self._waiting}


async def quarantine(*_: Any) -> None:
    """Keep nothing."""


@pytest.mark.parametrize(
    ("messages", "waiting", "waits"),
    [
        (_BURST, 0, True),
        (_BURST, BATCH - 1, True),
        (_BURST, BATCH, False),
        (_BURST - 1, 0, False),
        (BATCH, 0, False),
    ],
)
async def test_after_a_burst_it_waits_unless_a_whole_batch_does(
    monkeypatch: pytest.MonkeyPatch, messages: int, waiting: int, waits: bool
) -> None:
    monkeypatch.setattr("zenskar.worker.inbound_consumer.quarantine", quarantine)
    monkeypatch.setattr("zenskar.worker.inbound_consumer._LINGER_SECONDS", 3600.0)
    worker = InboundConsumer(
        None,  # type: ignore[arg-type]
        Bus(messages, waiting),  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        core_schemas()["event"],
        Progress(Metrics()),
        batch=BATCH,
    )
    await worker.turn()
    again = asyncio.create_task(worker.turn())
    for _ in range(20):
        await asyncio.sleep(0)
    assert again.done() is not waits
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)
