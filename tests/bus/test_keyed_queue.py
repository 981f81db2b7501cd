"""Waiting messages keep the order of their key, and no key blocks another."""

from hypothesis import given
from hypothesis import strategies as st

from zenskar.bus.keyed_queue import KeyedQueue
from zenskar.bus.port import Delivery


def delivery(key: str, number: int = 0) -> Delivery:
    return Delivery("t", key, str(number).encode(), 1)


def queue_of(*deliveries: Delivery, exclusive: bool = True) -> KeyedQueue:
    queue = KeyedQueue(exclusive=exclusive)
    queue.put(deliveries)
    return queue


def finish(queue: KeyedQueue, batch: list[Delivery]) -> list[Delivery]:
    for each in batch:
        queue.finish(each)
    return batch


def test_a_key_is_taken_once_until_it_is_finished() -> None:
    queue = queue_of(delivery("a", 1), delivery("a", 2), delivery("b", 3))
    first, other = queue.take(10)
    assert (first.value, other.value) == (b"1", b"3")
    assert queue.take(10) == []
    queue.finish(first)
    assert [each.value for each in queue.take(10)] == [b"2"]


def test_without_exclusive_keys_one_receiver_gets_all_of_a_key() -> None:
    queue = queue_of(*(delivery("a", n) for n in range(4)), delivery("b", 4), exclusive=False)
    first = queue.take(2)
    assert [each.value for each in first] == [b"0", b"1"]
    assert [each.value for each in queue.take(9)] == [b"4"]
    queue.finish(first[0])
    assert queue.take(9) == []
    queue.finish(first[1])
    queue.put([delivery("a", 5)])
    assert [each.value for each in queue.take(9)] == [b"2", b"3", b"5"]


def test_a_returned_message_comes_before_the_others_of_its_key() -> None:
    queue = queue_of(delivery("a", 1), delivery("a", 2))
    (first,) = queue.take(1)
    queue.put_back(first)
    assert queue.take(5) == [first]
    assert len(queue) == 1


def test_clear_removes_waiting_messages_and_keeps_held_keys() -> None:
    queue = queue_of(delivery("a", 1), delivery("a", 2), delivery("b", 3), delivery("b", 4))
    (worked_on,) = queue.take(1)
    queue.clear()
    assert len(queue) == 0
    queue.put([delivery("a", 5), delivery("b", 6)])
    assert [each.value for each in queue.take(10)] == [b"6"]
    queue.finish(worked_on)
    assert [each.value for each in queue.take(10)] == [b"5"]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["finish", "back", "keep"]))),
    st.booleans(),
)
def test_every_message_is_taken_in_the_order_of_its_key(
    moves: list[tuple[str, str]], exclusive: bool
) -> None:
    """Two at a time take; what is given back is given back from its end, as the bus does."""
    queue = KeyedQueue(exclusive=exclusive)
    batches: list[list[Delivery]] = []
    done: list[Delivery] = []

    def take(most: int) -> None:
        batch = queue.take(most)
        others = {each.key for other in batches for each in other}
        assert not others & {each.key for each in batch}
        assert not exclusive or len({each.key for each in batch}) == len(batch)
        batches.extend([batch] if batch else [])

    for number, (key, what) in enumerate(moves):
        queue.put([delivery(key, number)])
        take(2)
        if what == "finish" and batches:
            done += finish(queue, batches.pop(0))
        elif what == "back" and batches:
            for each in reversed(batches.pop(0)):
                queue.put_back(each)
    while batches or len(queue):
        take(3)
        done += finish(queue, batches.pop(0))
    for key in "abc":
        numbers = [int(each.value) for each in done if each.key == key]
        assert numbers == [n for n, (name, _) in enumerate(moves) if name == key]
