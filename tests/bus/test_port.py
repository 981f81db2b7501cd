"""What a delivery tells of itself."""

from zenskar.bus.port import Delivery


def test_a_message_of_kafka_was_read_at_an_offset() -> None:
    first = Delivery("sync.inbound", "fake:1", b"{}", 1, partition=0, offset=0)
    assert first.origin == {"topic": "sync.inbound", "partition": "0", "offset": "0"}


def test_a_message_of_the_outbox_was_read_by_its_key() -> None:
    assert Delivery("sync.inbound", "fake:1", b"{}", 1).origin == {
        "topic": "sync.inbound",
        "key": "fake:1",
    }
