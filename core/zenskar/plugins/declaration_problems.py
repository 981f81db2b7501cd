"""Check the declarations of a plugin before the core uses the plugin."""

import inspect
import math
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from zenskar.model.call_limit import PURPOSES, CallLimit
from zenskar.model.fields import SHAPES
from zenskar.model.integration import Setting
from zenskar.plugins.base import HOOKS, BaseIntegration
from zenskar.plugins.declarations import PLUGIN_API_VERSION
from zenskar.plugins.markers import PROJECT

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""Names of plugins and connections; in upper case they are prefixes of environment variables."""

USE_TOUCHED = (
    "return a `WebhookEvent` with `touched` for an object that must be read, and a worker reads it"
)
"""The alternative to a call in `parse_webhook`, which is not a coroutine."""

_HEADER = re.compile(r"[A-Za-z0-9-]+")
_SETTING_NAME = re.compile(r"[a-z][a-z0-9_]*")
_METHODS = ("GET", "POST")
_MOST_CALLS, _LEAST_SECONDS = 2**31, 0.1
_SYNCHRONOUS = tuple(
    name for name in HOOKS if not inspect.iscoroutinefunction(getattr(BaseIntegration, name))
)


def find_name_problem(name: str) -> str | None:
    """Return the reason that no plugin can have a name, None without one."""
    if NAME.fullmatch(name):
        return None
    return "its name must be lower-case letters, digits and _, beginning with a letter"


def is_integration(loaded: Any) -> bool:
    """Return whether an entry point names the class of an integration."""
    return isinstance(loaded, type) and issubclass(loaded, BaseIntegration)


def find_problem(name: str, integration: Any) -> str | None:
    """Return the reason that an entry point cannot be used as an integration, None without one."""
    if problem := find_name_problem(name):
        return problem
    if not is_integration(integration):
        return "the entry point does not name a subclass of BaseIntegration"
    if integration.plugin_api != PLUGIN_API_VERSION:
        return (
            f"is made for plugin API {integration.plugin_api}, "
            f"this zenskar offers {PLUGIN_API_VERSION}"
        )
    return next(filter(None, (check(integration) for check in _CHECKS)), None)


def _entities(integration: type[BaseIntegration]) -> str | None:
    entities: Any = integration.entities
    if not isinstance(entities, tuple) or not all(isinstance(name, str) for name in entities):
        return "`entities` must be a tuple of entity types"
    return None if entities else "`entities` names no entity type"


def _carries(integration: type[BaseIntegration]) -> str | None:
    carries: Any = integration.carries
    if not isinstance(carries, Mapping):
        return "`carries` must be a mapping of entity types to tuples of field names"
    return next(filter(None, (_carried(integration, *one) for one in carries.items())), None)


def _carried(integration: type[BaseIntegration], entity_type: Any, names: Any) -> str | None:
    if entity_type not in integration.entities or entity_type not in SHAPES:
        return f"`carries` names {entity_type!r}, which is no entity type that it syncs"
    if not isinstance(names, tuple) or not names:
        return f"`carries` must give a tuple of field names for {entity_type}"
    shape = SHAPES[entity_type]
    known = (*shape.plain, *shape.keyed)
    unknown = ", ".join(repr(name) for name in names if name not in known)
    if not unknown:
        return None
    return f"`carries`: {entity_type} has no field {unknown}, but: {', '.join(known)}"


def _limits(integration: type[BaseIntegration]) -> str | None:
    limits: Any = integration.limits
    if not isinstance(limits, Mapping) or not all(
        isinstance(name, str) for name in limits.values()
    ):
        return "`limits` must be a mapping of entity types to names of schemas"
    unknown = next((each for each in limits if each not in integration.entities), None)
    return unknown and f"`limits` names {unknown!r}, which is no entity type that it syncs"


def _match_by(integration: type[BaseIntegration]) -> str | None:
    declared: Any = integration.match_by
    if not isinstance(declared, Mapping):
        return "`match_by` must be a mapping of entity types to tuples of field names"
    for entity_type, names in declared.items():
        if entity_type not in integration.entities or entity_type not in SHAPES:
            return f"`match_by` names {entity_type!r}, which is no entity type that it syncs"
        if problem := find_match_problem(integration, entity_type, names):
            return f"`match_by`: {problem}"
    return None


def find_match_problem(
    integration: type[BaseIntegration], entity_type: str, names: Any
) -> str | None:
    """Return the reason that objects cannot be matched by these fields, None without one."""
    shape = SHAPES[entity_type]
    wrong = not isinstance(names, tuple) or not all(isinstance(name, str) for name in names)
    if wrong or not names or len(set(names)) < len(names):
        return f"{entity_type} needs a tuple of field names, each once"
    carries: Any = integration.carries
    # A class may compute the fields that it carries from its connection.
    carried = carries.get(entity_type, shape.plain) if isinstance(carries, Mapping) else shape.plain
    known = [name for name in shape.plain if name in carried]
    unknown = ", ".join(repr(name) for name in names if name not in known)
    if unknown:
        return f"{entity_type} cannot be matched by {unknown}, but by: {', '.join(known)}"
    if names[0] not in shape.searchable:
        return f"the first field of {entity_type} must be {' or '.join(shape.searchable)}"
    return None


def _webhook_headers(integration: type[BaseIntegration]) -> str | None:
    names: Any = integration.webhook_headers
    if isinstance(names, tuple) and all(_HEADER.fullmatch(str(name)) for name in names):
        return None
    return "`webhook_headers` must be a tuple of names of headers"


def _webhook_methods(integration: type[BaseIntegration]) -> str | None:
    names: Any = integration.webhook_methods
    if isinstance(names, tuple) and names and all(name in _METHODS for name in names):
        return None
    return f"`webhook_methods` must be a tuple of {' and '.join(_METHODS)}"


def _webhook_items(integration: type[BaseIntegration]) -> str | None:
    items: Any = integration.webhook_items
    return None if isinstance(items, bool) else "`webhook_items` must be True or False"


def _settings(integration: type[BaseIntegration]) -> str | None:
    settings: Any = integration.settings
    if not isinstance(settings, tuple) or not all(isinstance(s, Setting) for s in settings):
        return "`settings` must be a tuple of Setting"
    wrong = [s.name for s in settings if not _SETTING_NAME.fullmatch(str(s.name))]
    if wrong:
        return f"settings must be lower-case letters, digits and _: {', '.join(map(repr, wrong))}"
    names = [setting.name for setting in settings]
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"`settings` names a setting twice: {', '.join(twice)}" if twice else None


def _hooks(integration: type[BaseIntegration]) -> str | None:
    wrong = [
        hook
        for hook in _SYNCHRONOUS
        if inspect.iscoroutinefunction(inspect.unwrap(getattr(integration, hook)))
    ]
    advice = f"; {USE_TOUCHED}" if "parse_webhook" in wrong else ""
    return f"must not be a coroutine function: {', '.join(wrong)}{advice}" if wrong else None


def _broadcasts(integration: type[BaseIntegration]) -> str | None:
    marked = [n for n in dir(integration) if hasattr(getattr(integration, n), f"{PROJECT}_impl")]
    if not marked:
        return None
    return f"must not have a hookimpl, which needs a plugin of its own: {', '.join(marked)}"


def _durations(integration: type[BaseIntegration]) -> str | None:
    lifetime: Any = integration.idempotency_key_lifetime
    tolerance: Any = integration.clock_tolerance
    wrong = not isinstance(tolerance, timedelta) or not isinstance(lifetime, timedelta | None)
    if wrong:
        return "`clock_tolerance` and `idempotency_key_lifetime` must be timedeltas"
    every: Any = integration.poll_every
    valid = every is None or (isinstance(every, timedelta) and every > timedelta())
    return None if valid else "`poll_every` must be a timedelta above 0"


def _batches(integration: type[BaseIntegration]) -> str | None:
    for name in ("fetch_many_limit", "push_many_limit"):
        limit: Any = getattr(integration, name)
        if not isinstance(limit, int) or limit <= 0:
            return f"`{name}` must be a number above 0"
    return None


def _call_limits(integration: type[BaseIntegration]) -> str | None:
    limits: Any = integration.call_limits
    if not isinstance(limits, tuple) or not all(isinstance(each, CallLimit) for each in limits):
        return "`call_limits` must be a tuple of CallLimit"
    if not limits and integration.usage is not BaseIntegration.usage:
        return "implements `usage` and declares no `call_limits`"
    problem = next(filter(None, map(_call_limit, limits)), None)
    periods = [(limit.name, limit.seconds) for limit in limits]
    if problem is None and len(set(periods)) < len(periods):
        return "`call_limits` has two limits of one name and one period"
    return problem


def _call_limit(limit: CallLimit) -> str | None:
    name: Any = limit.name
    if not isinstance(name, str) or (name and not NAME.fullmatch(name)):
        return "the name of a CallLimit must be lower-case letters, digits and _"
    calls, seconds = _number(limit.calls), _number(limit.seconds)
    if calls != int(calls) or not 0 < calls < _MOST_CALLS or seconds < _LEAST_SECONDS:
        return f"a CallLimit needs a number of calls above 0, and {_LEAST_SECONDS:g} s or more"
    unknown = ", ".join(repr(hook) for hook in limit.hooks if hook not in PURPOSES)
    return f"a CallLimit names hooks whose calls do not count: {unknown}" if unknown else None


def _number(value: Any) -> float:
    """Return a number, 0 for any other value."""
    valid = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if valid else 0


def _deletes(integration: type[BaseIntegration]) -> str | None:
    final: Any = integration.deletes_are_final
    return None if isinstance(final, bool) else "`deletes_are_final` must be True or False"


def _replaced(integration: type[BaseIntegration]) -> str | None:
    old = hasattr(integration, "missed_events")
    return "the hook `missed_events` does not exist any more, use `changes`" if old else None


_CHECKS = (
    _replaced,
    _entities,
    _carries,
    _limits,
    _match_by,
    _settings,
    _webhook_headers,
    _webhook_methods,
    _webhook_items,
    _hooks,
    _broadcasts,
    _durations,
    _batches,
    _call_limits,
    _deletes,
)
