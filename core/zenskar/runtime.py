"""The composition root: build the parts of a process in order, and close them in reverse."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from operator import contains
from typing import TYPE_CHECKING

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.api.app import create_app, create_open, create_probes
from zenskar.api.health import HealthScope, SystemHealth
from zenskar.api.http.auth import KeyRing, LoginThrottle
from zenskar.api.services import ApiServices
from zenskar.bus.choice import choose_bus
from zenskar.bus.port import Bus, RelayedBus
from zenskar.bus.postgres.notifier import Notifier
from zenskar.catalog.field_limits import FieldLimits
from zenskar.catalog.service import CustomerService
from zenskar.console.console import Console
from zenskar.db.driver.database import engine_at, open_database
from zenskar.db.driver.engine import connections_in_use, in_transaction
from zenskar.db.workers import ROLES
from zenskar.ops.factory import OperationFactory
from zenskar.ops.replay import Replay
from zenskar.ops.state import system_state
from zenskar.plugins.broadcasts import Broadcaster
from zenskar.plugins.configuration import ConfiguredConnection, configure
from zenskar.plugins.discovery import Plugin, broadcast_plugins, discover, package_of
from zenskar.plugins.inventory import PluginInventory
from zenskar.plugins.lifecycle import Lifecycle
from zenskar.plugins.router import PluginRouter
from zenskar.schema_catalog import Schema, core_schemas
from zenskar.settings import Settings
from zenskar.sync.clocks import Clocks
from zenskar.sync.context import SyncContext
from zenskar.sync.dead_letters import DeadLetterWriter
from zenskar.sync.ingest.receiver import WebhookReceiver
from zenskar.sync.resilience.call_limiter import CallLimiter
from zenskar.sync.resilience.delete_guard import DeleteGuard
from zenskar.sync.resilience.rate_limit import RateLimitBackoff
from zenskar.sync.translator import Translator
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.loop_watchdog import Blockage, watched_loop
from zenskar.telemetry.metrics import Metrics
from zenskar.worker.progress import Progress
from zenskar.worker.service import WorkerService
from zenskar.worker.worker_builder import WorkerBuilder

if TYPE_CHECKING:
    from zenskar.telemetry.tracing import Tracing

_LONGEST_WAIT_SECONDS = 60.0
"""A job of a worker ends rather than wait longer for calls, and starts again later."""
_LONGEST_REQUEST_WAIT_SECONDS = 5.0
"""A person waits for the answer of a request."""
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Runtime:
    """The parts of a process, built by `open_runtime`.

    Set `stopping` before the process closes its port, so that no more requests are sent to it.
    """

    settings: Settings
    plugins: Mapping[str, Plugin]
    inventory: PluginInventory
    connections: Mapping[str, ConfiguredConnection]
    router: PluginRouter
    schemas: Mapping[str, Schema]
    engine: AsyncEngine
    bus: Bus
    metrics: Metrics
    context: SyncContext
    customers: CustomerService
    ingress: WebhookReceiver
    replay: Replay
    progress: Progress
    keys: KeyRing
    tracing: "Tracing | None" = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def api(self) -> web.Application:
        """Build the HTTP API, with the console unless the console has a port of its own."""
        services = self.services()
        apart = self.settings.console_port is not None
        pages = () if apart else (Console(services, keys=self.keys),)
        return create_app(services, pages, self.keys)

    def console(self) -> web.Application:
        """Build the console for a port of its own."""
        services = self.services()
        return create_open(services, [Console(services, keys=self.keys)])

    def probes(self) -> web.Application:
        """Build the HTTP server of a worker: its probes and its metrics."""
        health = self._health(self.progress.by_consumer)
        return create_probes(replace(self.services(), health=health))

    def worker(self, roles: Collection[str] = ROLES) -> WorkerService:
        """Build the worker of these roles."""
        builder = WorkerBuilder(
            self.context,
            self.bus,
            self.settings,
            self.schemas["event"],
            self.progress,
            self.operations(longest_wait_seconds=_LONGEST_WAIT_SECONDS),
            self.tracing,
        )
        return builder.build(roles)

    def operations(self, *, longest_wait_seconds: float = math.inf) -> OperationFactory:
        """Build the factory of the operations that read a whole external system.

        An operation ends rather than wait longer for calls within the limits of its connection.
        """
        return OperationFactory(
            self.context,
            self.bus,
            self.schemas["event"],
            self.settings,
            inventory=self.inventory,
            longest_wait_seconds=longest_wait_seconds,
        )

    def watched_loop(self) -> AbstractAsyncContextManager[None]:
        """Log and count each blockage of the event loop, with the plugin's name."""
        packages = {
            package_of(type(c.integration)): c.plugin.name for c in self.connections.values()
        } | {
            package_of(p.broadcast): p.name
            for p in self.plugins.values()
            if p.broadcast is not None
        }
        limit_seconds = self.settings.loop_block_seconds
        return watched_loop(packages, self._report_blockage, limit_seconds=limit_seconds)

    def _report_blockage(self, found: Blockage) -> None:
        self.metrics.loop_blocked.labels(found.plugin or "none").inc()
        _log.error(
            "event_loop_blocked",
            plugin=found.plugin,
            seconds=round(found.seconds, 1),
            places=list(found.stack),
        )

    def _health(self, consumers: Callable[[], Mapping[str, str]] | None = None) -> SystemHealth:
        relayed = isinstance(self.bus, RelayedBus)
        scope = HealthScope(
            self.router.sources,
            self.router.off,
            [role for role in ROLES if relayed or role != "relay"],
            consumers,
            self.stopping.is_set,
        )
        return SystemHealth(self.engine, self.bus, scope)

    def services(self) -> ApiServices:
        """Return the services that the API and the probes use."""
        guards = {name: DeleteGuard.of(each.settings) for name, each in self.connections.items()}
        return ApiServices(
            settings=self.settings,
            engine=self.engine,
            customers=self.customers,
            ingress=self.ingress,
            replay=self.replay,
            router=self.router,
            broadcaster=self.context.broadcaster,
            schemas=self.schemas,
            metrics=self.metrics,
            health=self._health(),
            wake=self.bus.wake,
            lag=self.bus.lag,
            operations=self.operations(longest_wait_seconds=_LONGEST_REQUEST_WAIT_SECONDS),
            state=lambda **bound: in_transaction(
                self.engine, partial(system_state.read, guards=guards, **bound)
            ),
            tracing=self.tracing,
        )


@asynccontextmanager
async def open_runtime(
    settings: Settings,
    environment: Mapping[str, str],
    *,
    plugins: Mapping[str, Plugin] | None = None,
    prepare: Callable[[AsyncEngine], Awaitable[None]] | None = None,
    application: str = "zenskar",
    tracing: "Tracing | None" = None,
) -> AsyncIterator[Runtime]:
    """Build a runtime on a migrated database.

    `plugins` replaces the installed plugins. `prepare` migrates the database, or refuses it,
    before anything else reads it. PostgreSQL lists the connections as `application`. `tracing`
    records spans.

    Raises `ConfigurationError` when a setting is wrong, and `Unavailable` when the database or
    the bus does not answer.
    """
    async with AsyncExitStack() as stack:
        known = discover() if plugins is None else plugins
        _report_problems(known)
        connections = configure(known, settings, environment)
        metrics = Metrics()
        inventory = PluginInventory.of(known, settings, environment)
        for name, problem in inventory.unusable.items():
            metrics.connection_off.labels(name).set(1)
            _log.error("connection_off", source=name, plugin=None, problem=problem)
        router = PluginRouter({name: c.integration for name, c in connections.items()})
        url = await stack.enter_async_context(open_database(settings))
        engine = await stack.enter_async_context(
            engine_at(settings, url, application, metrics.pool_wait_seconds.observe)
        )
        if prepare is not None:
            await prepare(engine)
        broadcaster = Broadcaster(
            broadcast_plugins(known) | _alerts(settings, connections), metrics
        )
        stack.push_async_callback(broadcaster.close)
        bus = choose_bus(settings, engine, Notifier(url, application))
        lifecycle = Lifecycle(router, connections)
        stack.push_async_callback(lifecycle.close)
        await lifecycle.open()
        stack.push_async_callback(bus.stop)
        await bus.start()
        schemas = core_schemas()
        letters = DeadLetterWriter(
            metrics,
            publishing=isinstance(bus, RelayedBus),
            sources=connections,
            broadcaster=broadcaster,
        )
        backoff = RateLimitBackoff()
        context = SyncContext(
            engine,
            router,
            connections,
            Translator(router, connections, schemas),
            metrics,
            bus.wake,
            letters,
            Clocks({n: c.integration.clock_tolerance for n, c in connections.items()}, metrics),
            backoff=backoff,
            broadcaster=broadcaster,
            limiter=CallLimiter(engine, router, connections, metrics, backoff),
        )
        _prepare_metrics(metrics, settings, engine, router)
        yield Runtime(
            settings=settings,
            plugins=known,
            inventory=inventory,
            connections=connections,
            router=router,
            schemas=schemas,
            engine=engine,
            bus=bus,
            metrics=metrics,
            context=context,
            customers=CustomerService(
                engine, router, bus.wake, FieldLimits(connections), broadcaster
            ),
            ingress=WebhookReceiver(context, bus, schemas["event"]),
            replay=Replay(engine, bus.wake, schemas["event"]),
            progress=Progress(metrics, bus.lag),
            keys=KeyRing(engine, LoginThrottle()),
            tracing=tracing,
        )


def _prepare_metrics(
    metrics: Metrics, settings: Settings, engine: AsyncEngine, router: PluginRouter
) -> None:
    """Show the metrics of every connection and of the pool before their first event."""
    metrics.start_at_zero(router.sources)
    metrics.pool_size.set(settings.database_pool_size)
    metrics.pool_in_use.set_function(partial(connections_in_use, engine))
    for source in router.sources:
        off = metrics.connection_off.labels(source)
        off.set_function(partial(contains, router.off, source))


def _alerts(settings: Settings, sources: Collection[str]) -> dict[str, object]:
    """Return the plugin that sends alerts, if an address is configured."""
    if settings.alert_url is None:
        return {}
    from zenskar.ops.alerting.alert_targets import target
    from zenskar.ops.alerting.alerts import NAME, AlertPlugin

    return {NAME: AlertPlugin(target(settings.alert_url.get_secret_value()), sources)}


def _report_problems(plugins: Mapping[str, Plugin]) -> None:
    for plugin in plugins.values():
        if plugin.problem:
            _log.error(
                "plugin_unusable",
                plugin=plugin.name,
                distribution=plugin.distribution,
                problem=plugin.problem,
            )
