"""The check of every part."""

from tests.support.console import open_console
from zenskar import Health
from zenskar.model.scope import Scope


async def test_every_part_is_checked_with_its_fix(database_url: str) -> None:
    async with open_console(database_url) as console:
        console.flow.systems["fake"].health = Health(ok=False, detail="<b>401</b>")
        async with console.browser(Scope.WRITE) as browser:
            assert 'href="/console/system/doctor"' in await browser.page("/system")
            page = await browser.page("/system/doctor")
        assert "connection fake" in page
        assert "&lt;b&gt;401&lt;/b&gt;" in page
        assert "start `zenskar worker`" in page
        assert "2 failed" in page
        for place in ("/system", "/connections/fake"):
            assert f'href="/console{place}">Look at it here' in page


async def test_a_reader_cannot_call_the_external_systems(database_url: str) -> None:
    async with open_console(database_url) as console, console.browser(Scope.READ) as browser:
        assert 'href="/console/system/doctor"' not in await browser.page("/system")
        await browser.page("/system/doctor", 403)
