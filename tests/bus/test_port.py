"""The port: the origin of a delivery, and a test of every promise for every bus."""

import re
from pathlib import Path

import pytest

import zenskar.bus
from zenskar.bus.port import Bus, Delivery

TESTS = Path(__file__).parents[1]
BUSES = sorted(path.parent.name for path in Path(zenskar.bus.__file__).parent.glob("*/bus.py"))
PROMISES = sorted(name for name, value in vars(Bus).items() if name[0] != "_" and callable(value))


@pytest.mark.parametrize("bus", BUSES)
@pytest.mark.parametrize("promise", PROMISES)
def test_every_promise_of_the_port_has_a_test_for_every_bus(bus: str, promise: str) -> None:
    """The tests of a bus are in the folder of its name; those that need its server in another."""
    sources = [*(TESTS / "bus" / bus).glob("test_*.py"), *(TESTS / bus).glob("test_*.py")]
    calls = re.compile(rf"\.{promise}\(")
    assert any(calls.search(path.read_text(encoding="utf-8")) for path in sources)


def test_a_message_of_kafka_was_read_at_an_offset() -> None:
    first = Delivery("sync.inbound", "fake:1", b"{}", 1, partition=0, offset=0)
    assert first.origin == {"topic": "sync.inbound", "partition": "0", "offset": "0"}


def test_a_message_of_the_outbox_was_read_by_its_key() -> None:
    assert Delivery("sync.inbound", "fake:1", b"{}", 1).origin == {
        "topic": "sync.inbound",
        "key": "fake:1",
    }
