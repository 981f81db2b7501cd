"""Route every hook call to the one integration that owns the source system."""

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pluggy

from zenskar.errors import (
    CallFailed,
    Failure,
    FailureKind,
    NotFound,
    PluginError,
    Unavailable,
)
from zenskar.plugins.base import HOOKS, BaseIntegration
from zenskar.plugins.markers import PROJECT


class _Manager(pluggy.PluginManager):
    """Registers the overridden methods of a `BaseIntegration` as hooks, without a decorator."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        if isinstance(plugin, BaseIntegration) and name in HOOKS:
            options: dict[str, Any] = dict.fromkeys(
                ("wrapper", "hookwrapper", "optionalhook", "tryfirst", "trylast"), False
            )
            return {**options, "specname": None}
        return super().parse_hookimpl_opts(plugin, name)


_PASSED_ON = (Exception, KeyboardInterrupt)
"""The errors that may leave a hook: `sys.exit` of a plugin must not end the process, and the
cancellation of its own task must not end the task of the caller."""


class PluginRouter:
    """The integrations by source system, and calls of their hooks.

    pluggy would call every implementation of a hook, and treats a coroutine as a result. So pluggy
    registers and checks the hooks, and each call goes to the hook of the owner, which is looked up
    once; coroutines are awaited here.
    """

    def __init__(self, integrations: Mapping[str, BaseIntegration]) -> None:
        self._manager = _Manager(PROJECT)
        self._manager.add_hookspecs(BaseIntegration)
        self._integrations = dict(integrations)
        for name, integration in self._integrations.items():
            self._register(name, integration)
        self._manager.check_pending()
        self._hooks: dict[tuple[str, str], Callable[..., Any]] = {}
        self._off: dict[str, str] = {}

    @property
    def off(self) -> Mapping[str, str]:
        """The source systems whose integration does not work in this process, with the reasons."""
        return MappingProxyType(self._off)

    def turn_off(self, source: str, problem: str) -> None:
        """Refuse every call of an integration until it is turned on."""
        self._off[source] = problem
        self._forget(source)

    def turn_on(self, source: str, integration: BaseIntegration) -> None:
        """Route the calls of a source system to this integration from now on."""
        self._manager.unregister(name=source)
        self._register(source, integration)
        self._integrations[source] = integration
        self._off.pop(source, None)
        self._forget(source)

    def _forget(self, source: str) -> None:
        self._hooks = {key: hook for key, hook in self._hooks.items() if key[0] != source}

    def _register(self, name: str, integration: BaseIntegration) -> None:
        try:
            self._manager.register(integration, name=name)
        except pluggy.PluginValidationError as error:
            problem = " ".join(str(error).split())
            raise PluginError(f"connection {name}: {problem}") from error

    @property
    def sources(self) -> tuple[str, ...]:
        """The source systems that have an owner, in the order they were configured."""
        return tuple(self._integrations)

    def owner(self, source: str) -> BaseIntegration:
        """Return the integration that owns a source system; raise `NotFound` if there is none."""
        try:
            return self._integrations[source]
        except KeyError:
            raise NotFound(f"no connection is called {source!r}") from None

    def implements(self, source: str, hook: str) -> bool:
        """Return whether the owner of a source system overrides a hook; raise `NotFound`."""
        own = getattr(type(self.owner(source)), hook)
        return own is not getattr(BaseIntegration, hook)

    def owners_of(self, entity_type: str) -> tuple[str, ...]:
        """Return the source systems that sync this entity type."""
        return tuple(s for s, i in self._integrations.items() if entity_type in i.entities)

    def call(self, source: str, hook: str, **arguments: Any) -> Any:
        """Call a hook of the owner and return its result.

        Raises `NotFound` for an unknown source system, `Unavailable` while the integration does not
        work in this process, and any `Exception` of the hook.
        """
        implementation = self._hooks.get((source, hook)) or self._find(source, hook)
        try:
            return implementation(**arguments)
        except _PASSED_ON:
            raise
        except BaseException as error:
            raise _ended(source, error) from error

    async def call_async(self, source: str, hook: str, **arguments: Any) -> Any:
        """Call an asynchronous hook of the owner; raise every error as a `CallFailed`."""
        if source in self._off:
            raise CallFailed(Failure(FailureKind.TRANSIENT, self._refusal(source)))
        try:
            result = self.call(source, hook, **arguments)
            return await result if inspect.isawaitable(result) else result
        except CallFailed:
            raise
        except Exception as error:
            raise CallFailed(self.classify(source, error)) from error
        except BaseException as error:
            if isinstance(error, _PASSED_ON) or _is_cancelled(error):
                raise
            raise _ended(source, error) from error

    def classify(self, source: str, error: Exception) -> Failure:
        """Return the owner's classification of an error; an unknown error is a bug.

        An error of `classify_error` itself is a bug too. Raises `Unavailable`.
        """
        try:
            verdict = self.call(source, "classify_error", error=error)
        except Unavailable:
            raise
        except CallFailed as ended:
            return ended.failure
        except Exception as own:  # noqa: BLE001 - the caller expects a failure of this call
            verdict, error = None, own
        if isinstance(verdict, Failure):
            return verdict
        # The text of an unknown error may hold a secret or personal data; its type does not.
        return Failure(FailureKind.BUG, f"{type(error).__name__} in the integration of {source}")

    def _find(self, source: str, hook: str) -> Callable[..., Any]:
        owner = self.owner(source)
        if source in self._off:
            raise Unavailable(self._refusal(source))
        known = getattr(self._manager.hook, hook)
        (own,) = (each for each in known.get_hookimpls() if each.plugin is owner)
        all_wanted = set(own.argnames) == set(known.spec.argnames)
        found = own.function if all_wanted else taking(own.function, own.argnames)
        self._hooks[source, hook] = found
        return found

    def _refusal(self, source: str) -> str:
        return f"connection {source} is off: {self._off[source]}"


def taking(function: Callable[..., Any], names: Sequence[str]) -> Callable[..., Any]:
    """Return a function that ignores the arguments that it does not name."""
    return lambda **given: function(*[given[name] for name in names])


def _is_cancelled(error: BaseException) -> bool:
    """Return whether an error is the cancellation of the current task."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _ended(source: str, error: BaseException) -> CallFailed:
    return CallFailed(
        Failure(FailureKind.BUG, f"{type(error).__name__} in the integration of {source}")
    )
