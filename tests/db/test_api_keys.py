"""API keys in the database."""

import re
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db import api_keys
from zenskar.db.api_keys import LivingKey
from zenskar.ids import new_id
from zenskar.model.scope import Scope
from zenskar.telemetry.logs import scrub


async def test_a_key_is_shown_once_and_stored_as_a_hash(engine: AsyncEngine) -> None:
    async with engine.begin() as db:
        stored, key = await api_keys.create(db, "ci")
        row = (await db.execute(text("SELECT * FROM api_keys"))).one()
        found = await api_keys.living(db, [stored.prefix])
    assert re.fullmatch(r"zsk_[A-Za-z0-9]{8}_[A-Za-z0-9]{43}", key)
    assert key[4:12] == stored.prefix
    assert key[13:] not in str(row)
    living = LivingKey(stored.id, stored.prefix, api_keys.digest(key), Scope.ADMIN)
    assert found == {stored.prefix: living}
    assert scrub(f"got {key}!") == "got [secret]!"


async def test_a_revoked_key_is_invalid(engine: AsyncEngine) -> None:
    async with engine.begin() as db:
        first, _ = await api_keys.create(db, "first")
        second, _ = await api_keys.create(db, "second")
        assert await api_keys.revoke(db, first.prefix)
        assert not await api_keys.revoke(db, first.prefix)
        assert not await api_keys.revoke(db, "nobody")
        assert set(await api_keys.living(db, [first.prefix, second.prefix, "x"])) == {second.prefix}
        listed = await api_keys.read_all(db)
    assert [(k.name, k.revoked_at is None) for k in listed] == [("first", False), ("second", True)]


async def test_a_key_ends_when_it_expires(engine: AsyncEngine) -> None:
    now = datetime.now(UTC)
    async with engine.begin() as db:
        made = [
            (await api_keys.create(db, "x", Scope.READ, now + timedelta(hours=hours)))[0]
            for hours in (-1, 1)
        ]
        found = await api_keys.living(db, [key.prefix for key in made])
        listed = await api_keys.read_all(db)
    assert set(found) == {made[1].prefix}
    assert [key.in_force for key in listed] == [False, True]
    assert [(key.scope, key.expires_at) for key in listed] == [
        (Scope.READ, key.expires_at) for key in made
    ]


async def test_a_key_of_an_older_release_keeps_all_rights(engine: AsyncEngine) -> None:
    async with engine.begin() as db:
        await db.execute(
            text("INSERT INTO api_keys (id, name, prefix, hash) VALUES (:id, 'x', 'oldoldol', '')"),
            {"id": new_id()},
        )
        (old,) = await api_keys.read_all(db)
    assert (old.scope, old.expires_at) == (Scope.ADMIN, None)


async def test_the_last_use_is_stored_once_a_minute(engine: AsyncEngine) -> None:
    async with engine.begin() as db:
        key, _ = await api_keys.create(db, "ci")
        await api_keys.used(db, [key.id])
        await db.execute(text("UPDATE api_keys SET last_used_at = now() - interval '30 seconds'"))
        (before,) = await api_keys.read_all(db)
        await api_keys.used(db, [key.id])
        assert await api_keys.read_all(db) == [before]
        await db.execute(text("UPDATE api_keys SET last_used_at = now() - interval '61 seconds'"))
        (old,) = await api_keys.read_all(db)
        await api_keys.used(db, [key.id])
        (new,) = await api_keys.read_all(db)
    assert old.last_used_at
    assert new.last_used_at
    assert new.last_used_at > old.last_used_at
