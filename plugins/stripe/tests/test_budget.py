"""The budget holds from the first second on."""

import asyncio
import random

import pytest

from zenskar_stripe.budget import Budget, NoTurn


class HastyLoop(asyncio.SelectorEventLoop):
    """A clock that advances at once to the end of every wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            due = self._scheduled[0].when()  # type: ignore[attr-defined]
            self.now = max(self.now + 1e-9, due)
        super()._run_once()  # type: ignore[misc]


class LateLoop(HastyLoop):
    """A clock that wakes late, sometimes very late, as on a busy machine."""

    def __init__(self) -> None:
        super().__init__()
        self._rng = random.Random(7)

    def _run_once(self) -> None:
        super()._run_once()
        self.now += self._rng.choice([0.0001, 0.0003, 0.001, 0.002])
        if self._rng.random() < 0.001:
            self.now += 0.12


def spend(
    budget: Budget, *endpoints: str, loop: type[HastyLoop] = HastyLoop
) -> list[tuple[float, str]]:
    """When each of the calls was let through."""
    let_through = []

    async def call(endpoint: str) -> None:
        await budget.spend(endpoint)
        let_through.append((round(asyncio.get_running_loop().time(), 6), endpoint))

    async def calls() -> None:
        await asyncio.gather(*map(call, endpoints))

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(calls())
    return let_through


def test_calls_are_spaced_out_from_the_start() -> None:
    times = [time for time, _ in spend(Budget(25, 0), *"abcdef")]
    assert times == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 0.2], rel=0.04)
    assert times[-1] >= 0.2


def test_one_endpoint_does_not_hold_up_the_others() -> None:
    let_through = spend(Budget(0, 10), *"aaab")
    assert [endpoint for _, endpoint in let_through] == ["a", "b", "a", "a"]
    assert [time for time, _ in let_through] == pytest.approx([0, 0, 0.1, 0.2], rel=0.04)


def test_all_endpoints_share_the_whole_budget() -> None:
    times = [time for time, _ in spend(Budget(20, 10), *"aabb")]
    assert times == pytest.approx([0, 0.05, 0.1, 0.15], rel=0.04)


def fullest(times: list[float], seconds: float = 1.0) -> int:
    """The most calls in any such time, however it lies."""
    return max(sum(start <= later < start + seconds for later in times) for start in times)


@pytest.mark.parametrize("rate", [3, 25, 80, 100])
@pytest.mark.parametrize(("loop", "share"), [(HastyLoop, 0.97), (LateLoop, 0.95)])
def test_the_budget_is_used_and_no_second_holds_more(
    rate: int, loop: type[HastyLoop], share: float
) -> None:
    times = [time for time, _ in spend(Budget(rate, 0), *"a" * 8 * rate, loop=loop)]
    assert fullest(times) <= rate
    assert (len(times) - 1) / times[-1] >= share * rate


def test_a_call_that_is_on_its_way_a_little_longer_is_not_too_many() -> None:
    times = [time for time, _ in spend(Budget(80, 0), *"a" * 400, loop=LateLoop)]
    rng = random.Random(3)
    arrived = sorted(time + rng.uniform(0, 0.024) for time in times)
    assert fullest(arrived) <= 80


def test_an_endpoint_is_not_overrun_by_calls_that_waited_for_the_others() -> None:
    let_through = spend(Budget(30, 25), *"b" * 100, *"a" * 100, loop=LateLoop)
    for endpoint in "ab":
        assert fullest([time for time, which in let_through if which == endpoint]) <= 25
    assert fullest([time for time, _ in let_through]) <= 30


def test_after_a_pause_calls_do_not_come_all_at_once() -> None:
    async def calls() -> float:
        budget = Budget(80, 0)
        await budget.spend("a")
        await asyncio.sleep(60)
        began = asyncio.get_running_loop().time()
        for _ in range(40):
            await budget.spend("a")
        return asyncio.get_running_loop().time() - began

    with asyncio.Runner(loop_factory=HastyLoop) as runner:
        assert runner.run(calls()) > 0.2


def test_who_gives_up_waiting_takes_no_turn() -> None:
    async def calls() -> float:
        budget = Budget(10, 0)
        await budget.spend("a")
        waiting = [asyncio.create_task(budget.spend("a")) for _ in range(50)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await budget.spend("a")
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=HastyLoop) as runner:
        assert runner.run(calls()) == pytest.approx(0.1, rel=0.05)


def test_who_would_wait_too_long_is_sent_away_and_told_how_long() -> None:
    async def calls() -> tuple[list[float], float]:
        budget = Budget(0.5, 0)
        waiting = [asyncio.create_task(budget.spend("a")) for _ in range(32)]
        done = await asyncio.gather(*waiting, return_exceptions=True)
        return [e.seconds for e in done if isinstance(e, NoTurn)], asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=HastyLoop) as runner:
        sent_away, took = runner.run(calls())
    assert len(sent_away) > 20
    assert took < 15
    assert all(10 < seconds < 15 for seconds in sent_away)


def test_zero_is_no_limit() -> None:
    assert {time for time, _ in spend(Budget(0, 0), *"a" * 1000)} == {0}
