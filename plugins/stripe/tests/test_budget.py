"""The budget holds from the first second on."""

import asyncio

import pytest

from zenskar_stripe.budget import Budget


class HastyLoop(asyncio.SelectorEventLoop):
    """Lets the time pass at once that everything waits for."""

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


def spend(budget: Budget, *endpoints: str) -> list[tuple[float, str]]:
    """When each of the calls was let through."""
    let_through = []

    async def call(endpoint: str) -> None:
        await budget.spend(endpoint)
        let_through.append((round(asyncio.get_running_loop().time(), 6), endpoint))

    async def calls() -> None:
        await asyncio.gather(*map(call, endpoints))

    with asyncio.Runner(loop_factory=HastyLoop) as runner:
        runner.run(calls())
    return let_through


def test_calls_are_spaced_out_from_the_start() -> None:
    times = [time for time, _ in spend(Budget(25, 0), *"abcdef")]
    assert times == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 0.2], rel=0.03)
    assert times[-1] > 0.2


def test_one_endpoint_does_not_hold_up_the_others() -> None:
    let_through = spend(Budget(0, 10), *"aaab")
    assert [endpoint for _, endpoint in let_through] == ["a", "b", "a", "a"]
    assert [time for time, _ in let_through] == pytest.approx([0, 0, 0.1, 0.2], rel=0.03)


def test_all_endpoints_share_the_whole_budget() -> None:
    times = [time for time, _ in spend(Budget(20, 10), *"aabb")]
    assert times == pytest.approx([0, 0.05, 0.1, 0.15], rel=0.03)


def test_no_second_holds_more_than_the_budget() -> None:
    times = [time for time, _ in spend(Budget(80, 0), *"a" * 400)]
    assert max(sum(t <= later < t + 1 for later in times) for t in times) <= 80
    assert len(times) / times[-1] >= 0.95 * 80


def test_zero_is_no_limit() -> None:
    assert {time for time, _ in spend(Budget(0, 0), *"a" * 1000)} == {0}
