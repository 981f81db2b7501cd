"""Fetch objects, several in one call where the integration can."""

import asyncio
from collections.abc import Sequence
from functools import partial

from zenskar.bus.batcher import Batcher
from zenskar.errors import CallFailed
from zenskar.model.integration import ExternalObject
from zenskar.plugins.invoker import Answer
from zenskar.sync.context import SyncContext
from zenskar.sync.resilience.failures import FAILURES_OF_ALL

_TURNS = 4


class ObjectFetcher:
    """Fetches objects of every connection; each call is bounded in time."""

    def __init__(self, context: SyncContext, *, timeout_seconds: float) -> None:
        self._context = context
        self._invoker = context.invoker
        self._timeout = timeout_seconds
        self._batchers: dict[tuple[str, str], Batcher[str, Answer[ExternalObject]]] = {}

    async def fetch(
        self, source: str, entity_type: str, external_id: str
    ) -> Answer[ExternalObject]:
        """Fetch an object alone. Raises `CallFailed`."""
        return await self._invoker.fetch(source, entity_type, external_id, seconds=self._timeout)

    async def fetch_together(
        self, source: str, entity_type: str, external_id: str
    ) -> Answer[ExternalObject]:
        """Fetch an object with the other objects that wait, if one call can. Raises `CallFailed`.

        The call is sent after this request, never before.
        """
        if not self._context.router.implements(source, "fetch_many"):
            return await self.fetch(source, entity_type, external_id)
        key = (source, entity_type)
        if key not in self._batchers:
            most = self._context.router.owner(source).fetch_many_limit
            process = partial(self._fetch_many, source, entity_type)
            self._batchers[key] = Batcher(process, most=most, turns=_TURNS)
        return await self._batchers[key].submit(external_id)

    async def _fetch_many(
        self, source: str, entity_type: str, external_ids: Sequence[str]
    ) -> Sequence[Answer[ExternalObject] | Exception]:
        found: dict[str, Answer[ExternalObject]] = {}
        names = list(dict.fromkeys(external_ids))
        if len(names) > 1:
            if (held := self._context.backoff.held(source)) is not None:
                return [CallFailed(held) for _ in external_ids]
            try:
                found = await self._found(source, entity_type, names)
            except CallFailed as error:
                if error.failure.kind in FAILURES_OF_ALL:
                    return [CallFailed(error.failure) for _ in external_ids]
        rest = [name for name in names if name not in found]
        alone = await asyncio.gather(*(self._alone(source, entity_type, each) for each in rest))
        answers = {**found, **dict(zip(rest, alone, strict=True))}
        return [answers[external_id] for external_id in external_ids]

    async def _found(
        self, source: str, entity_type: str, names: Sequence[str]
    ) -> dict[str, Answer[ExternalObject]]:
        seconds = self._timeout
        answer = await self._invoker.fetch_many(source, entity_type, names, seconds=seconds)
        return {name: Answer(seen, answer.timing) for name, seen in answer.value.items()}

    async def _alone(
        self, source: str, entity_type: str, external_id: str
    ) -> Answer[ExternalObject] | CallFailed:
        try:
            return await self.fetch(source, entity_type, external_id)
        except CallFailed as error:
            return error
