"""Broadcast plugins: check them, ask them about changes, and pass notices on to them."""

import asyncio
import copy
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple

import pluggy

from zenskar.errors import Violation
from zenskar.model.notices import (
    ConflictRecorded,
    ConnectionPaused,
    ConnectionResumed,
    DeadLetterAdded,
    Notice,
    RecordChanged,
)
from zenskar.plugins.broadcast_specs import BroadcastSpec
from zenskar.plugins.enricher import ENRICH, PushEnricher, added_members, with_members
from zenskar.plugins.markers import PROJECT
from zenskar.plugins.notice_queue import NoticeQueue
from zenskar.plugins.router import taking
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.metrics import Metrics
from zenskar.telemetry.stack_traces import place

VALIDATE = "validate_record"
HOOKS: Mapping[type[Notice], str] = MappingProxyType(
    {
        RecordChanged: "record_changed",
        ConflictRecorded: "conflict_recorded",
        DeadLetterAdded: "dead_letter_added",
        ConnectionPaused: "connection_paused",
        ConnectionResumed: "connection_resumed",
    }
)
_SECONDS = 5.0
_MOST_WAITING = 1000
_MOST_VIOLATIONS = 20
_MOST_CHARACTERS = 500
_log = get_logger(__name__)


class PluginViolation(NamedTuple):
    """A violated business rule, and the plugin that found it."""

    plugin: str
    pointer: str
    message: str


class EnrichedBody(NamedTuple):
    """The body of a push, and the pointers of the members that each plugin has added."""

    body: Mapping[str, Any]
    added: Mapping[str, list[str]]


class _Hook(NamedTuple):
    plugin: str
    function: Callable[..., Any]


_plugin_of = attrgetter("plugin")


def find_problem(name: str, plugin: object) -> str | None:
    """Return the reason that an object cannot be used as a broadcast plugin, None without one."""
    manager = _manager()
    try:
        manager.register(plugin, name=name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        return f"has a wrong hook: {' '.join(str(error).split())}"
    hooks = [impl for caller in manager.get_hookcallers(plugin) or () for impl in _own(caller)]
    if not hooks:
        return "the entry point names no subclass of BaseIntegration, and nothing with a hookimpl"
    return next(filter(None, map(_hook_problem, hooks)), None)


class Broadcaster:
    """Calls the hooks of the broadcast plugins, each plugin on its own.

    Without an implementation of a hook, nothing is called and nothing is queued.
    """

    def __init__(
        self,
        plugins: Mapping[str, object] = MappingProxyType({}),
        metrics: Metrics | None = None,
        *,
        seconds: float = _SECONDS,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        self._metrics = metrics or Metrics()
        manager = _manager()
        for name, plugin in plugins.items():
            manager.register(plugin, name=name)
        self._rules = _hooks(manager, VALIDATE)
        self._enrichers = [
            PushEnricher(hook.plugin, hook.function, self._metrics)
            for hook in sorted(_hooks(manager, ENRICH), key=_plugin_of)
        ]
        self._hooks = {kind: _hooks(manager, hook) for kind, hook in HOOKS.items()}
        self._queues = {
            name: NoticeQueue(name, self._metrics, seconds=seconds, most=most_waiting)
            for name in {hook.plugin for hooks in self._hooks.values() for hook in hooks}
        }

    @property
    def is_idle(self) -> bool:
        """Whether no plugin has a hook."""
        return not self._rules and not self._queues

    @property
    def validates(self) -> bool:
        """Whether a plugin has business rules."""
        return bool(self._rules)

    @property
    def enriches(self) -> bool:
        """Whether a plugin adds members to pushes."""
        return bool(self._enrichers)

    def wants(self, kind: type[Notice]) -> bool:
        """Return whether a plugin receives notices of this kind."""
        return bool(self._hooks[kind])

    def violations(
        self,
        entity_type: str,
        document: Mapping[str, Any],
        before: Mapping[str, Any] | None,
        origin: str,
    ) -> list[PluginViolation]:
        """Return the violations that the plugins find; a plugin that fails finds none."""
        found: list[PluginViolation] = []
        for plugin, function in self._rules:
            try:
                result = function(
                    entity_type=entity_type,
                    document=copy.deepcopy(document),
                    before=copy.deepcopy(before),
                    origin=origin,
                )
                own = _checked(plugin, result)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - exits and cancellations end nothing else
                self._metrics.broadcasts.labels(plugin, VALIDATE, "failed").inc()
                _log.error("broadcast_failed", plugin=plugin, hook=VALIDATE, problem=place(error))
                continue
            self._metrics.broadcasts.labels(plugin, VALIDATE, "refused" if own else "ok").inc()
            found += own
        return found

    async def enriched(
        self, body: Mapping[str, Any], *, seconds: float, **about: Any
    ) -> EnrichedBody:
        """Return the body of a push with the additions of all plugins, asked at the same time."""
        arguments = {**about, "body": body}
        answers = (enricher.ask(seconds, arguments) for enricher in self._enrichers)
        added: dict[str, list[str]] = {}
        for enricher, answer in zip(self._enrichers, await asyncio.gather(*answers), strict=True):
            before, body = body, with_members(body, answer)
            if members := added_members(before, body):
                added[enricher.plugin] = members
        return EnrichedBody(body, added)

    def publish(self, notice: Notice) -> None:
        """Queue a notice for each plugin that wants it, without waiting."""
        for plugin, function in self._hooks[type(notice)]:
            self._queues[plugin].put(HOOKS[type(notice)], function, notice)

    async def close(self) -> None:
        """Pass the waiting notices on, for the time of one call at most."""
        for enricher in self._enrichers:
            enricher.close()
        await asyncio.gather(*(asyncio.to_thread(q.close) for q in self._queues.values()))


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(BroadcastSpec)
    return manager


def _own(caller: pluggy.HookCaller) -> Sequence[pluggy.HookImpl]:
    return caller.get_hookimpls()


def _hooks(manager: pluggy.PluginManager, hook: str) -> tuple[_Hook, ...]:
    found = reversed(_own(getattr(manager.hook, hook)))
    return tuple(_Hook(each.plugin_name, taking(each.function, each.argnames)) for each in found)


def _hook_problem(hook: pluggy.HookImpl) -> str | None:
    name = hook.function.__name__
    if hook.wrapper or hook.hookwrapper:
        return f"`{name}` must not be a wrapper"
    if name == VALIDATE and inspect.iscoroutinefunction(inspect.unwrap(hook.function)):
        return f"`{name}` must not be a coroutine function"
    try:
        inspect.signature(hook.function).bind(*hook.argnames)
    except TypeError:
        return f"`{name}` has arguments that its hook does not have"
    return None


def _checked(plugin: str, result: Iterable[Violation] | None) -> list[PluginViolation]:
    """Return the first violations; raise `TypeError` for a result of another type."""
    found = list(islice(result or (), _MOST_VIOLATIONS))
    if not all(isinstance(each, Violation) for each in found):
        raise TypeError("a plugin must return violations")
    return [
        PluginViolation(plugin, str(each.pointer), str(each.message)[:_MOST_CHARACTERS])
        for each in found
    ]
