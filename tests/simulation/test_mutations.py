"""The simulation detects a product without one of its duties, by one move of a story.

`python -m tests.simulation.run --mutations` counts the drawn stories until each is detected.
"""

import asyncio

import pytest

from tests.simulation.mutations import MUTATIONS, Mutation
from tests.simulation.run import Stage, small_pages
from tests.support.databases import Databases
from zenskar.plugins.discovery import discover
from zenskar.telemetry import logs


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[each.name for each in MUTATIONS])
async def test_a_missing_duty_is_noticed(databases: Databases, mutation: Mutation) -> None:
    logs.configure("error", "json")
    stage = Stage(databases, discover())
    other = [act for act in mutation.story if act.kind != mutation.move]
    with mutation.applied(), small_pages():
        whole, without = await asyncio.gather(
            stage.run_story(mutation.seed, mutation.story), stage.run_story(mutation.seed, other)
        )
    assert any(mutation.breach in line for line in whole.wrong), whole.wrong
    assert not without.wrong
