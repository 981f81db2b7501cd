"""Sessions of the console."""

from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db import api_keys
from zenskar.db.operators import console_sessions
from zenskar.model.scope import Scope


async def test_a_token_finds_its_session_until_the_end(engine: AsyncEngine) -> None:
    async with engine.begin() as db:
        key, _ = await api_keys.create(db, "Grace", Scope.WRITE)
        token = await console_sessions.begin(db, key.id)
        found = await console_sessions.find(db, token)
        assert found is not None
        assert (found.key_id, found.key_name, found.scope) == (key.id, "Grace", Scope.WRITE)
        assert await console_sessions.find(db, f"{token}x") is None
        await console_sessions.end(db, token)
        assert await console_sessions.find(db, token) is None
