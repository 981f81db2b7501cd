"""The declarations of an integration: class attributes, which the core reads before any call."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import ClassVar

from zenskar.model.call_limit import CallLimit
from zenskar.model.integration import Setting

PLUGIN_API_VERSION = 1
"""The version of everything that a plugin imports from zenskar, or that the core calls on it."""


class Declarations:
    """The class attributes that an integration may set, with their defaults."""

    plugin_api: ClassVar[int] = PLUGIN_API_VERSION
    """The version of the plugin API that the integration is written for."""
    entities: ClassVar[tuple[str, ...]] = ("customer",)
    """The entity types that the integration syncs."""
    carries: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
    """The top-level fields that the external system holds, by entity type; all by default.

    The core neither compares nor pushes the other fields.
    """
    limits: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """The name of the schema with the limits, by entity type; by default `<entity>.limits`."""
    match_by: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
    """The fields by which an object and a record are the same, by entity type; none by default.

    The first field must be the e-mail address; the others decide where it is not unique.
    """
    settings: ClassVar[tuple[Setting, ...]] = ()
    """The settings of a connection, read from `<CONNECTION>_<NAME>`."""
    webhook_headers: ClassVar[tuple[str, ...]] = ()
    """Headers that every genuine POST has; without them the core does not read the body."""
    webhook_methods: ClassVar[tuple[str, ...]] = ("POST",)
    """The methods of webhooks and challenges: `POST`, `GET` or both."""
    webhook_items: ClassVar[bool] = False
    """Whether an array is checked and parsed item by item, so that an invalid one stops no other.
    """
    idempotency_key_lifetime: ClassVar[timedelta | None] = None
    """How long a create with the same key is safe to repeat; None: never, find the object."""
    clock_tolerance: ClassVar[timedelta] = timedelta(seconds=2)
    """The largest difference between clocks of the external system, and to ours if unknown."""
    request_lifetime: ClassVar[timedelta] = timedelta(minutes=5)
    """How long a sent request without an answer may still take effect."""

    deletes_are_final: ClassVar[bool] = True
    """Whether the external system never restores a deleted object under its id."""
    poll_every: ClassVar[timedelta | None] = None
    """How often `changes` is called; None: every `ZENSKAR_SWEEP_SECONDS`."""
    sandbox_on_request: ClassVar[bool] = False
    """Whether `zenskar dev` starts the sandbox only for `--with`."""
    fetch_many_limit: ClassVar[int] = 100
    """The most objects that one `fetch_many` is called with."""
    push_many_limit: ClassVar[int] = 100
    """The most pushes that one `push_many` is called with."""
    call_limits: ClassVar[tuple[CallLimit, ...]] = ()
    """The calls that the external system allows, by period and endpoint; the core keeps them."""
