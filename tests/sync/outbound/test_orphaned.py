"""Work of a connection that is not there waits until it is there again."""

from tests.support.flow import Flow, open_flow, running_worker
from tests.support.wait import until
from zenskar.model.record import IntentKind


async def parked(flow: Flow) -> bool:
    return bool(await flow.scalar("SELECT count(*) = 2 FROM outbox WHERE parked"))


async def test_work_of_an_uninstalled_plugin_waits_for_it(database_url: str) -> None:
    async with open_flow(database_url, "fake", "other", working=False) as flow:
        made_here = await flow.create(name="Ada")
        flow.systems["other"].create(name="Grace")
        (webhook,) = flow.systems["other"].webhooks
        await flow.runtime.ingress.accept("other", webhook, "test")

    async with open_flow(database_url, "fake", probe_seconds=0.05) as flow:
        await until(lambda: parked(flow))
        assert len(flow.systems["fake"].pushes(IntentKind.CREATE)) == 1
        assert await flow.scalar("SELECT count(*) FROM customers") == 1
        assert not await flow.scalar("SELECT count(*) FROM sync_events WHERE status = 'dead'")

    async with open_flow(database_url, "fake", "other", working=False, probe_seconds=0.05) as flow:
        for system in flow.systems.values():
            system.create()  # whose id would be given a second time
        async with running_worker(flow.runtime):
            await flow.settle()
        (pushed,) = flow.systems["other"].pushes(IntentKind.CREATE)
        assert pushed.body["name"] == "Ada"
        assert (await flow.mapping(made_here, "other"))["state"] == "active"
        assert await flow.scalar("SELECT count(*) FROM customers WHERE name = 'Grace'") == 1
