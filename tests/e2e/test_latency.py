"""A change is pushed at once: its worker is woken, and does not poll."""

import time

from tests.support.flow import open_flow
from tests.support.wait import until
from zenskar import Push

POLL_SECONDS = 60.0
PROMPT_SECONDS = 2.0
"""Far above the usual time, for a busy machine, and far below the poll interval."""


async def test_a_push_is_sent_at_once_and_not_at_the_next_poll(database_url: str) -> None:
    sent: list[float] = []

    def note(_push: Push) -> None:
        sent.append(time.monotonic())

    async with open_flow(database_url, poll_seconds=POLL_SECONDS) as flow:
        flow.systems["fake"].before = note
        took: list[float] = []
        for number in range(11):
            started = time.monotonic()
            await flow.create(email=f"{number}@example.com")

            async def arrived(number: int = number) -> bool:
                return len(sent) > number

            await until(arrived, POLL_SECONDS / 2)
            took.append(sent[number] - started)
            await flow.settle()
    assert sorted(took)[len(took) // 2] < PROMPT_SECONDS
