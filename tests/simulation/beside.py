"""A Salesforce org at a second connection: what persons do there, and its invariants."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import text

from tests.simulation.clock import Clock
from zenskar.http.lookalike import Fault, FaultKind
from zenskar.runtime import Runtime
from zenskar_salesforce.sandbox import SalesforceSandbox, settings_of

_COMPOSITE = "/services/data/v66.0/composite"
_FAULTS: Mapping[str, dict[str, Any]] = {
    "error_after": {"kind": FaultKind.SERVER_ERROR, "effect": True},
    "drop_answer": {"kind": FaultKind.DROP_ANSWER},
    "drop_request": {"kind": FaultKind.DROP_REQUEST},
    "zombie": {"kind": FaultKind.ZOMBIE, "delay_seconds": 0.2},
    "truncate": {"kind": FaultKind.TRUNCATE},
    "locked": {"kind": FaultKind.REFUSE, "code": "UNABLE_TO_LOCK_ROW"},
    "too_slow": {"kind": FaultKind.DELAY, "delay_seconds": 0.8},
}
FAULTS = tuple(_FAULTS)
_POLLS_OF_THE_DEAD = """
    UPDATE schedules SET due_at = now()
    WHERE name LIKE 'poll:%' AND due_at > now() + interval '5 seconds'
"""
"""A killed worker holds its polls for a minute, which passes at once."""
_POLLED = "SELECT due_at FROM schedules WHERE name = 'poll:salesforce'"
_POLLS, _PAUSE_SECONDS = 3, 0.05


class OrgBeside:
    """An org whose contacts persons edit, each edit in a second of its own.

    An edit within the second of the last seen change has no version of its own, so Salesforce
    accepts a push that overwrites that edit.
    """

    def __init__(self, sandbox: SalesforceSandbox) -> None:
        self.sandbox = sandbox

    @property
    def environment(self) -> dict[str, str]:
        """The settings of the connection."""
        given = settings_of(self.sandbox).items()
        own = {f"SALESFORCE_{name.upper()}": value for name, value in given}
        return {**own, "SALESFORCE_POLL_SECONDS": "0.2"}

    def contacts(self) -> dict[str, dict[str, Any]]:
        """The living contacts by id."""
        return {row["Id"]: row for row in self.sandbox.living}

    def anybody(self, who: int) -> str | None:
        """The id of a living contact."""
        alive = sorted(self.contacts())
        return alive[who % len(alive)] if alive else None

    def create(self, value: str) -> str:
        """Create a contact."""
        return self.sandbox.add(LastName=value)

    def edit(self, contact: str, field: str, value: str | None) -> None:
        """Change a field of a contact."""
        self._next_second()
        names = {"LastName": value, "FirstName": None}
        self.sandbox.edit(contact, **(names if field == "name" else {"Phone": value}))

    def delete(self, contact: str) -> None:
        """Put a contact into the recycle bin."""
        self._next_second()
        self.sandbox.delete(contact)

    def break_next(self, fault: str) -> None:
        """Break the next push."""
        self.sandbox.faults.add(Fault(path_prefix=_COMPOSITE, **_FAULTS[fault]))

    async def show_everything(self, runtime: Runtime, patience: float) -> None:
        """Wait until the feed has shown every edit."""
        began = time.monotonic()
        for _ in range(_POLLS):
            before = await self._polled(runtime)
            while await self._polled(runtime) == before:
                if time.monotonic() - began > patience:
                    raise TimeoutError
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _polled(self, runtime: Runtime) -> Any:
        async with runtime.engine.begin() as db:
            await db.execute(text(_POLLS_OF_THE_DEAD))
            return await db.scalar(text(_POLLED))

    def _next_second(self) -> None:
        self.sandbox.shift_clock(self.sandbox.clock.shift + 1)


@asynccontextmanager
async def org_beside(clock: Clock, *, present: bool) -> AsyncIterator[OrgBeside | None]:
    """Run an org, or none."""
    if not present:
        yield None
        return
    async with SalesforceSandbox(clock=clock) as sandbox:
        yield OrgBeside(sandbox)


def unequal_beside(
    records: list[dict[str, Any]],
    mappings: list[dict[str, Any]],
    contacts: Mapping[str, dict[str, Any]],
) -> list[str]:
    """Return the living records whose contact is missing or differs."""
    active = {m["key"]: m["external_id"] for m in mappings if m["state"] == "active"}
    found = []
    for record in records:
        if record["deleted_at"] is not None:
            continue
        contact = contacts.get(active.get(record["key"], ""))
        here = tuple(record[name] for name in ("name", "email", "phone"))
        there = contact and tuple(contact[name] for name in ("Name", "Email", "Phone"))
        if here != there:
            found.append(f"{record['key']}: {here} here, {there} at Salesforce")
    return found
