"""Requests for work on a connection or a record now."""

import pytest

from tests.support.flow import open_flow
from zenskar.errors import NotFound
from zenskar.ids import new_id
from zenskar.model.actor import Actor

BY = Actor("test", "a test", "because")


async def test_unknown_names_are_refused(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        prompter = flow.runtime.operations().prompter()
        with pytest.raises(NotFound, match="no connection"):
            await prompter.check("nothing", BY)
        with pytest.raises(NotFound, match="no record"):
            await prompter.push("customer", new_id(), None, BY)
        with pytest.raises(NotFound, match="syncs the entity type"):
            await prompter.push("customer", new_id(), "nothing", BY)
        with pytest.raises(NotFound, match="at any connection"):
            await prompter.fetch("customer", new_id(), None, BY)
        assert await flow.scalar("SELECT count(*) FROM operator_actions") == 0
