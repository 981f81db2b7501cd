"""Keep rows in an SQLite file of the owner only, or in memory."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SCHEMA = "CREATE TABLE IF NOT EXISTS contacts (id TEXT PRIMARY KEY, body TEXT NOT NULL)"
_PUT = "INSERT INTO contacts VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body"


class RowsFile:
    """The rows of an org, written through; without a path nothing is stored."""

    def __init__(self, path: Path | None = None) -> None:
        self._db: sqlite3.Connection | None = None
        if path is None:
            return
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        self._db = sqlite3.connect(path, timeout=0.5, isolation_level=None)
        # Exclusive: a second sandbox on the same file is refused instead of diverging from it.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute(_SCHEMA)

    def load(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield every row, in the order of their first `put`."""
        if self._db is None:
            return
        for identifier, body in self._db.execute("SELECT id, body FROM contacts ORDER BY rowid"):
            yield identifier, json.loads(body)

    def put(self, identifier: str, row: dict[str, Any]) -> None:
        """Store a row."""
        if self._db is not None:
            self._db.execute(_PUT, (identifier, json.dumps(row)))

    def delete(self, identifier: str) -> None:
        """Remove a row."""
        if self._db is not None:
            self._db.execute("DELETE FROM contacts WHERE id = ?", (identifier,))

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
