"""Thousands of changes on both sides, under faults."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncpg

from tests.kafka.processes import until
from tests.kafka.topology import Topology
from tests.simulation.memory import Memory, Written

FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "rate_limited", "probability": 0.02, "retry_after": 0},
    {"kind": "server_error", "probability": 0.02, "method": "POST"},
    {"kind": "server_error", "probability": 0.02, "method": "POST", "effect": True},
    {"kind": "drop_answer", "probability": 0.02, "method": "POST"},
    {"kind": "drop_request", "probability": 0.02, "method": "POST"},
    {"kind": "zombie", "probability": 0.01, "method": "POST", "delay_seconds": 0.5},
    {"kind": "truncate", "probability": 0.01},
    {"kind": "delay", "probability": 0.02, "delay_seconds": 0.5},
    {"kind": "webhook_delay", "probability": 0.05, "delay_seconds": 1.0},
    {"kind": "webhook_duplicate", "probability": 0.05, "copies": 3},
    {"kind": "webhook_reorder", "probability": 0.05, "count": 10_000, "size": 2},
    {"kind": "webhook_drop", "probability": 0.05, "attempts": 2},
)
_HERE = {"create": 3, "edit": 6, "delete": 0.5}
_TASKS = 6
_PATIENCE_SECONDS = 180.0
_BUSY = {429, 500, 502, 503, 504}


@dataclass
class Load:
    """Makes changes here, through the API, and outside, as on Stripe's dashboard."""

    topology: Topology
    changes: int
    seed: int = 1
    memory: Memory = field(default_factory=Memory)
    made: Counter[str] = field(default_factory=Counter)
    refusals: int = 0
    _records: list[str] = field(default_factory=list)
    _objects: list[str] = field(default_factory=list)
    _drawn: int = 0

    async def run(self) -> None:
        """Make all changes, half of them here, half outside."""
        timeout = aiohttp.ClientTimeout(total=10)
        self._rng = random.Random(self.seed)
        async with aiohttp.ClientSession(timeout=timeout) as self._http:
            await self._inject()
            watching = asyncio.create_task(self._watch())
            try:
                await asyncio.gather(*(self._work() for _ in range(_TASKS)))
            finally:
                watching.cancel()

    async def reached(self, share: float) -> None:
        """Wait until this share of the changes is made."""
        wanted = share * self.changes

        async def check() -> bool:
            return self.made.total() >= wanted

        await until(check, _PATIENCE_SECONDS * 2, f"{share:.0%} of the load")

    async def _inject(self) -> None:
        for number, fault in enumerate(FAULTS):
            body = {**fault, "seed": self.seed * 100 + number}
            await self._outside("POST", "faults", body)

    async def _work(self) -> None:
        while self._drawn < self.changes:
            self._drawn += 1
            value = f"v{self._drawn}"
            here = self._drawn % 2 == 0
            kind = self._rng.choices(list(_HERE), list(_HERE.values()))[0]
            known = self._records if here else self._objects
            if not known:
                kind = "create"
            who = "" if kind == "create" else self._rng.choice(known)
            act = self._change_here if here else self._change_outside
            if await act(kind, who, value):
                self.made[f"{kind} {'here' if here else 'outside'}"] += 1

    async def _change_here(self, kind: str, who: str, value: str) -> bool:
        match kind:
            case "create":
                body = {"name": value, "email": f"{value}@example.com"}
                key = {"Idempotency-Key": str(uuid.uuid4())}
                found = await self._here("POST", "/customers", body, key)
                assert found is not None
                self.memory.local.append(found["id"])
            case "edit":
                if await self._here("PATCH", f"/customers/{who}", self._edit(value)) is None:
                    return False
                self.memory.written.append(Written(value, "internal", who))
            case _:
                return await self._here("DELETE", f"/customers/{who}") is not None
        return True

    async def _change_outside(self, kind: str, who: str, value: str) -> bool:
        match kind:
            case "create":
                found = await self._outside("POST", "customers", {"name": value})
                assert found is not None
                self.memory.external.append(found["id"])
            case "edit":
                if await self._outside("POST", f"customers/{who}", self._edit(value)) is None:
                    return False
                self.memory.written.append(Written(value, "external", who))
            case _:
                return await self._outside("DELETE", f"customers/{who}") is not None
        return True

    def _edit(self, value: str) -> dict[str, Any]:
        name = self._rng.choice(("name", "phone", "metadata"))
        return {"metadata": {"k": value}} if name == "metadata" else {name: value}

    async def _here(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any] | None:
        """Repeat a request until the API answers; return None for a deleted record."""
        url = f"{self.topology.api_url}{path}"
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with self._http.request(
                        method, url, json=body, headers=headers
                    ) as response:
                        if response.status in {404, 204}:
                            return None if response.status == 404 else {}
                        if response.status < 300:
                            return await response.json()
                        text = await response.text()
                        assert response.status in _BUSY | {409}, f"{response.status}: {text}"
                self.refusals += 1
                await asyncio.sleep(0.1)

    async def _outside(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        """Control the sandbox; return None for a deleted object."""
        url = f"{self.topology.sandbox_url}/_sandbox/{path}"
        async with self._http.request(method, url, json=body) as response:
            if response.status == 404:
                return None
            assert response.status < 300, f"{response.status}: {await response.text()}"
            return await response.json()

    async def _watch(self) -> None:
        """Read the customers of both sides, so that each side edits those of the other."""
        while True:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                connection = await asyncpg.connect(self.topology.database_url, timeout=5)
                try:
                    self._records = await _column(connection, _ALIVE)
                    self._objects = await _column(connection, _OBJECTS)
                finally:
                    await connection.close(timeout=2)
            await asyncio.sleep(0.5)


_ALIVE = "SELECT CAST(id AS text) FROM customers WHERE deleted_at IS NULL"
_OBJECTS = "SELECT external_id FROM external_mappings WHERE state = 'active'"


async def _column(connection: asyncpg.Connection, query: str) -> list[str]:
    return [row[0] for row in await connection.fetch(query, timeout=5)]
