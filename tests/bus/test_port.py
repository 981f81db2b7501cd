"""The port: the origin of a delivery, and the contract that every bus keeps."""

import inspect
import re
from pathlib import Path

import pytest

import zenskar.bus
from zenskar.bus.port import Bus, Delivery
from zenskar.testing import BusConformance, bus_conformance

TESTS = Path(__file__).parents[1]
BUSES = sorted(path.parent.name for path in Path(zenskar.bus.__file__).parent.glob("*/bus.py"))
PROMISES = sorted(name for name, value in vars(Bus).items() if name[0] != "_" and callable(value))


@pytest.mark.parametrize("promise", PROMISES)
def test_the_contract_checks_every_promise(promise: str) -> None:
    """The subclass of a bus calls `start` and `stop`."""
    calls = re.search(rf"\.{promise}\(", inspect.getsource(bus_conformance))
    assert calls or promise in {"start", "stop"}


@pytest.mark.parametrize("bus", BUSES)
def test_every_bus_keeps_the_contract(bus: str) -> None:
    """The tests of a bus are in the folder of its name; those that need its server in another."""
    files = [*(TESTS / "bus" / bus).glob("test_*.py"), *(TESTS / bus).glob("test_*.py")]
    contract = f"({BusConformance.__name__}):"
    assert any(contract in path.read_text(encoding="utf-8") for path in files)


def test_a_message_of_kafka_was_read_at_an_offset() -> None:
    first = Delivery("sync.inbound", "fake:1", b"{}", 1, partition=0, offset=0)
    assert first.origin == {"topic": "sync.inbound", "partition": "0", "offset": "0"}


def test_a_message_of_the_outbox_was_read_by_its_key() -> None:
    assert Delivery("sync.inbound", "fake:1", b"{}", 1).origin == {
        "topic": "sync.inbound",
        "key": "fake:1",
    }
