"""The runs: begun, watched, planned, applied and stopped on their pages."""

from tests.support.console import open_console, token_of
from zenskar.model.scope import Scope

_OPEN = "SELECT count(*) = 0 FROM operator_runs WHERE ended_at IS NULL"
_LAST = "SELECT max(CAST(id AS text)) FROM operator_runs"


async def test_a_repair_is_planned_and_applied(database_url: str) -> None:
    async with open_console(database_url, working=True) as console:
        flow = console.flow
        flow.systems["fake"].create(name="Grace")
        flow.systems["fake"].webhooks.clear()
        async with console.browser(Scope.ADMIN) as browser:
            begun = await browser.act("/runs/new/plan_repair/fake/customer", reason="INC-42")
            assert "Plan repair" in begun
            await flow.until_scalar(_OPEN)
            planned = await flow.scalar(_LAST)
            page = await browser.page(f"/runs/{planned}")
            assert "INC-42" in page
            assert "create here" in page
            assert "Apply the plan" in page
            await browser.act(f"/runs/{planned}/apply")
            await flow.until_scalar(_OPEN)
            assert "done" in await browser.page(f"/runs/{await flow.scalar(_LAST)}")
            listed = await browser.page("/runs?kind=apply_repair&state=done")
            assert await flow.scalar(_LAST) in listed
            assert "No run matches" in await browser.page("/runs?state=failed")
        assert await flow.scalar("SELECT name FROM customers") == "Grace"


async def test_a_writer_compares_and_stops_but_does_not_repair(database_url: str) -> None:
    async with open_console(database_url) as console:
        async with console.browser(Scope.WRITE) as browser:
            refused = await browser.page("/runs/new/repair/fake/customer")
            assert "needs a key of the scope admin" in refused
            page = await browser.page("/runs/new/compare/fake/customer")
            token = page.split('name="token" value="')[1].split('"')[0]
            answer = await browser.client.post(
                "/console/runs/new/repair/fake/customer", data={"token": token, "reason": "x"}
            )
            assert answer.status == 400
            begun = await browser.act("/runs/new/compare/fake/customer")
            assert "No worker has begun it yet" in begun
            assert '<dt>Begun</dt><dd><span class="none">not yet</span>' in begun
            second = await browser.act("/runs/new/compare/fake/customer", status=409)
            assert "another run" in second.lower()
            run = await console.flow.scalar(_LAST)
            assert "stopped" in await browser.act(f"/runs/{run}/stop")
            assert "stopped already" in await browser.page(f"/runs/{run}/stop")
            await browser.page("/runs/new/dance/fake/customer", 404)
            await browser.page("/runs/new/compare/other/customer", 404)
            await browser.page("/runs/new/compare/fake/invoice", 400)
            await browser.page("/runs/x", 404)
        assert await console.flow.scalar("SELECT count(*) FROM operator_runs") == 1


async def test_a_form_that_the_console_has_not_made_is_refused(database_url: str) -> None:
    async with open_console(database_url) as console, console.browser(Scope.ADMIN) as browser:
        repair, join = "/runs/new/repair/fake/customer", "/runs/new/plan_join/fake/customer"
        assert "one of the choices" in await browser.act(repair, missing="burn", status=400)
        assert "cannot be matched" in await browser.act(join, match_by="a\0", status=400)
        await browser.act("/runs/new/compare/fake/customer")
        run = await console.flow.scalar(_LAST)
        form = {"token": token_of(await browser.page()), "reason": "x"}
        for path in (f"/runs/{run}/apply", "/runs/new/apply_repair/fake/customer"):
            answer = await browser.client.post(f"/console{path}", data=form)
            assert answer.status == 404
        assert await console.flow.scalar("SELECT count(*) FROM operator_runs") == 1


async def test_a_finished_comparison_shows_its_differences(database_url: str) -> None:
    async with open_console(database_url, working=True) as console:
        flow, system = console.flow, console.flow.systems["fake"]
        record_id = await flow.create()
        await flow.settle()
        (external_id,) = system.objects
        system.edit(external_id, name="Ada <b>there</b>")
        system.create(name="Grace")
        system.webhooks.clear()
        async with console.browser(Scope.WRITE) as browser:
            await browser.act("/runs/new/compare/fake/customer", reason="a doubt")
            await flow.until_scalar(_OPEN)
            page = await browser.page(f"/runs/{await flow.scalar(_LAST)}")
            result = page.partition('id="result"')[2]
            assert "missing here" in result
            assert "different" in result
            assert "<dt>objects</dt><dd>2</dd>" in result
            assert "Both sides are equal" not in result
            assert f"/console/records/customer/{record_id}" in result
            assert external_id in result
            assert "Apply the plan" not in page
            assert "a doubt" in page
            listed = await browser.page("/runs")
            assert "1 different" in listed
            assert "1 missing here" in listed
            assert "2 left" in listed
        assert await flow.scalar("SELECT count(*) FROM customers") == 1


async def test_a_finished_comparison_without_differences_says_that_both_sides_are_equal(
    database_url: str,
) -> None:
    async with open_console(database_url, working=True) as console:
        flow = console.flow
        await flow.create()
        await flow.settle()
        async with console.browser(Scope.WRITE) as browser:
            await browser.act("/runs/new/compare/fake/customer")
            await flow.until_scalar(_OPEN)
            page = await browser.page(f"/runs/{await flow.scalar(_LAST)}")
            result = page.partition('id="result"')[2]
            assert "Both sides are equal" in result
            assert "<dt>objects</dt><dd>1</dd>" in result
            assert "<dt>objects that could not be read</dt><dd>0</dd>" in result
            assert "/console/connections/fake" in result
            assert "Kind</th>" not in result
            listed = await browser.page("/runs")
            assert "<td>none</td>" in listed


async def test_a_run_that_was_stopped_before_its_begin_has_no_result(database_url: str) -> None:
    async with open_console(database_url) as console, console.browser(Scope.WRITE) as browser:
        await browser.act("/runs/new/compare/fake/customer")
        run = await console.flow.scalar(_LAST)
        assert "The result is shown here." in await browser.page(f"/runs/{run}")
        await browser.act(f"/runs/{run}/stop")
        page = await browser.page(f"/runs/{run}")
        assert "The run ended before it had one." in page
        assert "Both sides are equal" not in page
