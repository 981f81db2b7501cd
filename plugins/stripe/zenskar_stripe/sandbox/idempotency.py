"""Idempotency keys: https://docs.stripe.com/api/idempotent_requests."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from .errors import invalid, key_in_use, key_reused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from zenskar.http.lookalike import Record, Store

    from .forms import Pairs

KIND = "answer"
LONGEST_KEY = 255
# A request with one of these statuses was refused before its execution: no answer is stored.
_NOT_KEPT = frozenset({400, 401, 403, 409, 429})


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body and their headers."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Claim:
    """The right to execute a request, or the stored answer of its key."""

    kept: Answer | None = None
    keep: Callable[[Answer], None] = lambda _: None


class IdempotencyKeys:
    """The stored answers by key, and the keys of running requests."""

    def __init__(self, store: Store, clock: Callable[[], float], lifetime: float) -> None:
        self._store = store
        self._clock = clock
        self._lifetime = lifetime
        self._answers: dict[str, Record] = dict(store.load(KIND))
        self._running: set[str] = set()

    @contextmanager
    def claim(self, key: str | None, path: str, pairs: Pairs, request_id: str) -> Iterator[Claim]:
        """Hold a key while its request runs; a used key yields its answer.

        Raises `ApiError` when the key is in use, or belongs to a request with other parameters.
        """
        if key is None:
            yield Claim()
            return
        claim = self._claim(key, _fingerprint(path, pairs), request_id)
        self._running.add(key)
        try:
            yield claim
        finally:
            self._running.discard(key)

    def clear(self) -> None:
        """Remove every key."""
        self._answers.clear()
        self._store.clear(KIND)

    def _claim(self, key: str, fingerprint: str, request_id: str) -> Claim:
        if len(key) > LONGEST_KEY:
            message = f"Idempotency keys can have at most {LONGEST_KEY} characters"
            raise invalid(f"{message}, but you passed in one of {len(key)}.")
        if key in self._running:
            raise key_in_use(key)
        self._expire()
        kept = self._answers.get(key)
        if kept is None:
            return Claim(keep=lambda answer: self._keep(key, fingerprint, request_id, answer))
        if kept["fingerprint"] != fingerprint:
            raise key_reused(key)
        return Claim(kept=_replayed(kept))

    def _keep(self, key: str, fingerprint: str, request_id: str, answer: Answer) -> None:
        if answer.status in _NOT_KEPT:
            return
        self._answers[key] = {
            "fingerprint": fingerprint,
            "request": request_id,
            "status": answer.status,
            "body": answer.body.decode(),
            "at": self._clock(),
        }
        self._store.put(KIND, key, self._answers[key])

    def _expire(self) -> None:
        # Keys are in the order of their use, so the first fresh key ends the search.
        dead = self._clock() - self._lifetime
        for key, kept in list(_until_fresh(self._answers, dead)):
            if kept["at"] <= dead:
                del self._answers[key]
                self._store.delete(KIND, key)


def _until_fresh(answers: dict[str, Record], dead: float) -> Iterator[tuple[str, Record]]:
    for key, kept in answers.items():
        if kept["at"] > dead:
            return
        yield key, kept


def _fingerprint(path: str, pairs: Pairs) -> str:
    return hashlib.sha256(orjson.dumps([path, sorted(pairs)])).hexdigest()


def _replayed(kept: Record) -> Answer:
    headers = {"Idempotent-Replayed": "true", "Original-Request": kept["request"]}
    return Answer(kept["status"], kept["body"].encode(), headers)
