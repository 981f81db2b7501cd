"""The hooks of a broadcast plugin: a plugin without a connection, by the time of their calls.

The core calls a hook on every broadcast plugin that implements it. Mark each implementation with
`hookimpl`. An implementation may leave out arguments, because the core passes them by name.

An error in a hook, also `SystemExit`, is logged without its text and counted. The error
affects neither the change, nor the other plugins, nor later calls.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pluggy

from zenskar.errors import Violation
from zenskar.model.notices import (
    ConflictRecorded,
    ConnectionPaused,
    ConnectionResumed,
    DeadLetterAdded,
    RecordChanged,
)
from zenskar.plugins.markers import PROJECT, hookspec

hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a broadcast plugin as the implementation of a hook."""


class BroadcastSpec:
    """All hooks. Each is optional, but a broadcast plugin implements at least one."""

    # --- before the commit ------------------------------------------------------------------

    @hookspec
    def validate_record(
        self,
        entity_type: str,
        document: Mapping[str, Any],
        before: Mapping[str, Any] | None,
        origin: str,
    ) -> Iterable[Violation] | None:
        """Return the business rules that a create or an update of a record violates, if any.

        Called inside of the transaction, with copies of the canonical documents after and before
        the change; `before` is None for a create. The hook is a plain function, makes no call and
        must not block. `origin` is "api", or the name of the connection whose event makes the
        change.

        The violations of all plugins are collected. A change at the API is refused with 422, and
        nothing is stored. A change of a connection is a fact: it is applied, and the history of its
        sync event holds the violations. A hook that raises, or returns anything else, refuses
        nothing. A repeated transaction calls the hook again.
        """

    # --- before a push ----------------------------------------------------------------------

    @hookspec
    def enrich_push(
        self,
        entity_type: str,
        record_id: str,
        source: str,
        kind: str,
        patch: Mapping[str, Any],
        body: Mapping[str, Any],
    ) -> Mapping[str, Any] | None:
        """Return members to add to the body of a create or an update, if any.

        Called before a worker sends a push, by a thread of the plugin: a plain function or a
        coroutine function. `source` is the connection. `kind` is "create" or "update". `patch` is
        the canonical change, a JSON merge patch. `body` is that change in the terms of the external
        system, as the integration has made it.

        The core adds the members at every level of the body, and never changes a member that the
        integration has set. The body with the additions is stored before the first attempt, and
        every repeat sends it unchanged. A hook that raises, or takes more than 2 seconds, or more
        than a tenth of `ZENSKAR_INTENT_LEASE_SECONDS`, adds nothing.
        """

    # --- after the commit -------------------------------------------------------------------
    # Best effort: a plain function or a coroutine function, called by a thread of the plugin,
    # outside of every transaction. The result is ignored. A coroutine is cancelled after 5 seconds.
    # While a plain function does not return, its plugin is called no further. At most 1000 notices
    # of a plugin wait; further ones are dropped and counted, and so are those of a killed process.

    @hookspec
    def record_changed(self, notice: RecordChanged) -> None:
        """Receive the change of a record, from the API or from a connection."""

    @hookspec
    def conflict_recorded(self, notice: ConflictRecorded) -> None:
        """Receive a conflict, once for each field."""

    @hookspec
    def dead_letter_added(self, notice: DeadLetterAdded) -> None:
        """Receive a sync event that became a dead letter."""

    @hookspec
    def connection_paused(self, notice: ConnectionPaused) -> None:
        """Receive the pause of a connection that was active."""

    @hookspec
    def connection_resumed(self, notice: ConnectionResumed) -> None:
        """Receive the end of a connection's pause."""
