"""The held deletes: looked at, dropped one by one, and a record restored."""

import pytest

from tests.ops.test_connections import ALIVE, flooded
from tests.support.console import open_console, token_of
from zenskar.db.events import held_deletes
from zenskar.model.scope import Scope


async def test_held_deletes_are_looked_at_and_dropped(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_console(database_url, working=True, delete_guard_limit=2) as console:
        flow = console.flow
        system = await flooded(flow, 5)
        held = await flow.rows(
            "SELECT CAST(id AS text) AS id, external_id FROM sync_events"
            " WHERE status = 'pending' ORDER BY id"
        )
        for each in held:
            system.objects[each["external_id"]] = {"name": "Alive"}
        async with console.browser(Scope.READ) as browser:
            page = await browser.page("/held-deletes?look=fake")
            assert f"holds {len(held)} deletes" in page
            assert "not looked at" in page
            assert "No delete is held at other" in await browser.page("/held-deletes?source=other")
            await browser.page("/held-deletes/fake/drop", 403)
            with monkeypatch.context() as bounded:
                bounded.setattr(held_deletes, "COUNTED", len(held) - 1)
                page = await browser.page("/held-deletes")
            assert f"holds {len(held) - 1}+ deletes" in page
        async with console.browser(Scope.ADMIN) as browser:
            looked = await browser.page("/held-deletes?source=fake&look=fake")
            assert looked.count(">alive<") == len(held)
            run = await browser.act(f"/held-deletes/fake/drop?event={held[0]['id']}")
            assert "drop deletes" in run.lower()
            await flow.until_scalar(
                "SELECT reason = 'delete_dropped' FROM sync_events WHERE id = :id", id=held[0]["id"]
            )
            await flow.until_scalar("SELECT count(*) = 0 FROM operator_runs WHERE ended_at IS NULL")
            await browser.act("/held-deletes/fake/drop")
            await flow.until_scalar("SELECT state = 'active' FROM connections")
            await flow.settle()
        assert await flow.scalar(ALIVE) >= len(held)


async def test_a_broken_id_of_a_delete_drops_no_delete(database_url: str) -> None:
    """Without an id the action drops all of them."""
    async with open_console(database_url) as console, console.browser(Scope.ADMIN) as browser:
        form = {"token": token_of(await browser.page()), "reason": "x"}
        for path in ("fake/drop?event=x", "other/drop"):
            answer = await browser.client.post(f"/console/held-deletes/{path}", data=form)
            assert answer.status in {400, 404}
        assert await console.flow.scalar("SELECT count(*) FROM operator_runs") == 0


async def test_a_deleted_record_is_restored(database_url: str) -> None:
    async with open_console(database_url, working=True) as console:
        record_id = await console.flow.create()
        await console.flow.settle()
        await console.flow.runtime.customers.delete(record_id, correlation_id="test")
        await console.flow.settle()
        async with console.browser(Scope.ADMIN) as browser:
            path = f"/records/customer/{record_id}"
            assert "Undelete" in await browser.page(path)
            assert "The record is back" in await browser.act(f"{path}/undelete")
            await browser.act(f"{path}/undelete", status=409)
        assert (await console.flow.record(record_id))["deleted_at"] is None
