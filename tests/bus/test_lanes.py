"""Waiting messages keep the order of their key, and no key holds up another."""

from hypothesis import given
from hypothesis import strategies as st

from zenskar.bus.lanes import Lanes
from zenskar.bus.port import Delivery


def delivery(key: str, number: int = 0) -> Delivery:
    return Delivery("t", key, str(number).encode(), 1)


def lanes(*deliveries: Delivery, exclusive: bool = True) -> Lanes:
    lanes = Lanes()
    lanes.put(deliveries, exclusive=exclusive)
    return lanes


def test_a_key_is_taken_once_until_it_is_finished() -> None:
    queue = lanes(delivery("a", 1), delivery("a", 2), delivery("b", 3))
    first, other = queue.take(10)
    assert (first.value, other.value) == (b"1", b"3")
    assert queue.take(10) == []
    queue.finish(first)
    assert [each.value for each in queue.take(10)] == [b"2"]


def test_without_exclusive_keys_everything_is_taken_in_order() -> None:
    queue = lanes(*(delivery("a", n) for n in range(3)), exclusive=False)
    assert [each.value for each in queue.take(2)] == [b"0", b"1"]
    assert [each.value for each in queue.take(2)] == [b"2"]


def test_what_is_put_back_is_taken_before_the_others_of_its_key() -> None:
    queue = lanes(delivery("a", 1), delivery("a", 2))
    (first,) = queue.take(1)
    queue.put_back(first)
    assert queue.take(5) == [first]
    assert len(queue) == 1


def test_dropping_forgets_what_waits_but_not_what_is_worked_on() -> None:
    queue = lanes(delivery("a", 1), delivery("a", 2), delivery("b", 3), delivery("b", 4))
    (worked_on,) = queue.take(1)
    queue.drop(lambda _: True)
    assert len(queue) == 0
    queue.put([delivery("a", 5), delivery("b", 6)], exclusive=True)
    assert [each.value for each in queue.take(10)] == [b"6"]
    queue.finish(worked_on)
    assert [each.value for each in queue.take(10)] == [b"5"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40))
def test_every_message_is_taken_once_and_in_the_order_of_its_key(
    moves: list[tuple[str, bool]],
) -> None:
    queue, held, seen = Lanes(), [], []
    for number, (key, finishing) in enumerate(moves):
        queue.put([delivery(key, number)], exclusive=True)
        taken = queue.take(2)
        held += taken
        seen += taken
        if finishing and held:
            queue.finish(held.pop(0))
    while held or len(queue):
        if held:
            queue.finish(held.pop(0))
        taken = queue.take(10)
        held += taken
        seen += taken
    for key in "abc":
        numbers = [int(each.value) for each in seen if each.key == key]
        assert numbers == [n for n, (name, _) in enumerate(moves) if name == key]
