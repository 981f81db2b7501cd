"""The stores of a look-alike: none, or an SQLite file."""

from __future__ import annotations

import os
import sqlite3
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Record: TypeAlias = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    position INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (kind, id)
)
"""
_PUT = """
INSERT INTO records (kind, id, body) VALUES (?, ?, ?)
ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body
"""


class StoreError(Exception):
    """The store's file cannot be used."""


class Store(Protocol):
    """A store of records by kind and id, loaded once at start and written through."""

    def load(self, kind: str, /) -> Iterator[tuple[str, Record]]:
        """Return every record of a kind, in the order of their first `put`."""

    def put(self, kind: str, identifier: str, record: Record, /) -> None:
        """Store a record."""

    def delete(self, kind: str, identifier: str, /) -> None:
        """Remove a record."""

    def clear(self, *kinds: str) -> None:
        """Remove every record of these kinds."""

    def transaction(self) -> AbstractContextManager[None]:
        """Commit all changes of the body, or none."""

    def close(self) -> None:
        """Close the file."""


class MemoryStore:
    """A store that keeps nothing: the records are in memory only."""

    def load(self, *_: object) -> Iterator[tuple[str, Record]]:
        """Return no record."""
        return iter(())

    def put(self, *_: object) -> None:
        """Do nothing."""

    def delete(self, *_: object) -> None:
        """Do nothing."""

    def clear(self, *_: object) -> None:
        """Do nothing."""

    def transaction(self) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def close(self) -> None:
        """Do nothing."""


class SqliteStore:
    """A store in a file that survives a kill of the process."""

    def __init__(self, path: Path) -> None:
        try:
            self._db = _opened(path)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"cannot use the store {path}: {error}") from error

    def load(self, kind: str) -> Iterator[tuple[str, Record]]:
        """Return every record of a kind, in the order of their first `put`."""
        query = "SELECT id, body FROM records WHERE kind = ? ORDER BY position"
        for identifier, body in self._db.execute(query, (kind,)):
            yield identifier, orjson.loads(body)

    def put(self, kind: str, identifier: str, record: Record) -> None:
        """Store a record; a replaced record keeps its place in the order."""
        self._db.execute(_PUT, (kind, identifier, orjson.dumps(record)))

    def delete(self, kind: str, identifier: str) -> None:
        """Remove a record."""
        self._db.execute("DELETE FROM records WHERE kind = ? AND id = ?", (kind, identifier))

    def clear(self, *kinds: str) -> None:
        """Remove every record of these kinds."""
        self._db.executemany("DELETE FROM records WHERE kind = ?", [(kind,) for kind in kinds])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all changes of the body, or none."""
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _opened(path: Path) -> sqlite3.Connection:
    _keep_private(path)
    db = sqlite3.connect(path, timeout=0.5, isolation_level=None)
    # Exclusive: a second look-alike on the same file is refused instead of diverging from it.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(_SCHEMA)
    return db


def _keep_private(path: Path) -> None:
    """Allow only the owner to read the file; SQLite's other files get the same mode."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    for file in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))):
        with suppress(FileNotFoundError):
            file.chmod(0o600)
