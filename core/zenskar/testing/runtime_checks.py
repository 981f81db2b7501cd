"""Check an integration within a whole runtime, until both sides are equal."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from zenskar.api.server import serve
from zenskar.model.fields import CUSTOMER
from zenskar.plugins.base import BaseIntegration
from zenskar.runtime import open_runtime
from zenskar.testing.author_part import AuthorPart
from zenskar.testing.check_method import check, require
from zenskar.testing.fault_proxy import ConnectionFault, FaultProxy, Refusal
from zenskar.testing.life_checks import person
from zenskar.testing.subject import SOURCE, build, opened
from zenskar.testing.world import Death, World, plugin_of, world_settings

FIRST_EDIT, SECOND_EDIT = "+4915550123988", "+4915550123989"
"""Values that fit a name and a telephone number."""
_FAULTS: tuple[ConnectionFault | Refusal, ...] = (
    ConnectionFault.LOSE_ANSWER,
    ConnectionFault.BREAK,
    Refusal(500),
    Refusal(503),
    Refusal(429, {"Retry-After": "1"}),
)


class RuntimeChecks(AuthorPart):
    """The checks that run a database, the API and workers with the integration."""

    @check("whole runtime")
    async def test_changes_of_both_sides_arrive(self) -> None:
        """Creates, edits and deletes of both sides arrive, and no change is pushed twice."""
        async with self._world() as world, world.worker():
            first, second = await self._create(world, 1), await self._create(world, 2)
            await world.until_equal("two records were created")
            await world.edit(first, FIRST_EDIT)
            await world.edit_there(second, SECOND_EDIT)
            await world.until_equal("a record and another object were edited")
            record = await world.record(second) or {}
            require(record[world.text_field] == SECOND_EDIT, "an edit there was overridden")
            writes = [call for call in world.faults.calls if call != "GET"] if world.faults else []
            # Changes that wait together may be one call.
            together = self.integration.push_many is not BaseIntegration.push_many
            right = {0, 1, 2, 3} if together else {0, 3}
            require(len(writes) in right, f"3 changes here became {len(writes)} pushes")
            await world.delete_there(second)
            await world.until_equal("an object was deleted")
            require(await world.record(second) is None, "a delete there did not arrive")

    @check("whole runtime")
    async def test_faults_leave_both_sides_equal(self) -> None:
        """Lost, broken and refused calls end with equal sides, and with one object a record."""
        if self.address_setting is None:
            pytest.skip("the test class has no `address_setting`")
        async with self._world() as world, world.worker():
            faults = world.faults
            if faults is None:
                raise AssertionError("the calls do not go through the proxy")
            made = []
            for number, fault in enumerate(_FAULTS):
                faults.break_next_write(fault)
                made.append(await self._create(world, number))
                await _arrived(world, faults)
            await world.until_equal("the creates met faults")
            for record_id, fault in zip(made, _FAULTS, strict=True):
                faults.break_next_write(fault)
                await world.edit(record_id, FIRST_EDIT)
                await _arrived(world, faults)
            await world.until_equal("the updates met faults")

    @check("whole runtime")
    async def test_a_killed_worker_loses_nothing(self) -> None:
        """A worker that is killed between a call and its answer leaves no second object."""
        async with self._world() as world:
            record_id = await self._create(world, 1)
            await _die(world)
            async with world.worker():
                await world.until_equal("a worker was killed during a create")
            await world.edit(record_id, FIRST_EDIT)
            await _die(world)
            async with world.worker():
                await world.until_equal("a worker was killed during an update")

    @asynccontextmanager
    async def _world(self) -> AsyncIterator[World]:
        """Open a database, the look-alike, and an API that receives its webhooks."""
        hooked = self._is_hooked()
        if CUSTOMER.entity_type not in self.integration.entities:
            pytest.skip("the integration syncs no customers")
        async with AsyncExitStack() as stack:
            given = {**self.settings, **await stack.enter_async_context(self.external_system())}
            direct = await stack.enter_async_context(opened(build(self.integration, given)))
            name, faults = self.address_setting, None
            if name is not None:
                proxy = FaultProxy(str(given[name]), lambda: int(time.time()))
                faults = await stack.enter_async_context(proxy)
                given = {**given, name: faults.address}
            url = await stack.enter_async_context(self.database())
            settings, environment = world_settings(given, url)
            runtime = await stack.enter_async_context(
                open_runtime(settings, environment, plugins=plugin_of(direct))
            )
            if hooked:
                served = serve(runtime.api(), "127.0.0.1", 0, settings)
                address = await stack.enter_async_context(served)
                await self.send_webhooks_to(f"{address}/webhooks/{SOURCE}{self.token_path()}")
            yield World(direct, runtime, environment, faults, self.patience_seconds)

    def _is_hooked(self) -> bool:
        """Return whether webhooks arrive; skip when no event can arrive at all."""
        kind, own = self.integration, type(self)
        hooked = own.send_webhooks_to is not AuthorPart.send_webhooks_to
        if kind.changes is BaseIntegration.changes and not hooked:
            pytest.skip("the test class has no `send_webhooks_to`")
        return hooked and kind.verify_webhook is not BaseIntegration.verify_webhook

    async def _create(self, world: World, number: int) -> str:
        document: dict[str, Any] = person(world.direct, CUSTOMER.entity_type, number)
        return await world.create({**document, "name": f"Wilhelmina Quatsch {number}"})


async def _die(world: World) -> None:
    """Run a worker until it dies between a call and the answer."""
    death = Death("outbound.called")
    async with world.worker(death):
        try:
            async with asyncio.timeout(world.patience_seconds):
                await death.came.wait()
        except TimeoutError:
            raise AssertionError("the worker made no call") from None
    await world.end_leases()


async def _arrived(world: World, faults: FaultProxy) -> None:
    try:
        async with asyncio.timeout(world.patience_seconds):
            await faults.arrived.wait()
    except TimeoutError:
        raise AssertionError(f"no write arrived within {world.patience_seconds:g} s") from None
