"""Prepare new connections of a pool, and replace connections that broke while they were idle."""

import math
import time
from typing import Any

import orjson
from asyncpg import Connection
from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError, InvalidatePoolError

_JSONB_VERSION = b"\x01"
"""The first byte of jsonb on the wire: `jsonb_recv` in PostgreSQL's sources."""
_IDLE_SECONDS = 0.5
_PING_SECONDS = 5.0


class PoolChecks:
    """Prepares the new connections of an engine, and checks those that were idle."""

    def __init__(self, engine: Engine) -> None:
        self._silent_at = -math.inf
        event.listen(engine, "connect", self._prepare)
        event.listen(engine, "checkin", _note_use)
        event.listen(engine, "checkout", self._ping_idle)
        event.listen(engine, "close", self._give_up)

    def _prepare(self, connection: Any, record: Any) -> None:
        _prefer_indexes(connection)
        _exchange_jsonb(connection)
        record.info["opened_at"] = time.monotonic()

    def _ping_idle(self, connection: Any, record: Any, _proxy: Any) -> None:
        """Replace a connection that broke while it was idle.

        The pool's own ping before every use costs three round trips, as many as most transactions.
        """
        opened = record.driver_connection
        if not is_clean(opened):
            raise DisconnectionError("the connection was closed while it was idle")
        used_at = record.info.get("used_at")
        if used_at is None or time.monotonic() - used_at < _IDLE_SECONDS:
            return
        try:
            connection.run_async(lambda driver: driver.fetchrow(";", timeout=_PING_SECONDS))
        except TimeoutError as error:
            # The server is gone, or hangs: the other connections of the pool lead to it too.
            self._silent_at = time.monotonic()
            raise InvalidatePoolError("the server does not answer") from error
        except Exception as error:
            raise DisconnectionError("the connection died while it was idle") from error

    def _give_up(self, connection: Any, record: Any) -> None:
        """Close a connection to a silent server without a farewell, whose answer never comes."""
        if record.info.get("opened_at", math.inf) < self._silent_at:
            connection.driver_connection.terminate()


def is_clean(connection: Connection | None) -> bool:
    """Return whether a connection can be used again: it is open, and outside of transactions."""
    return (
        connection is not None and not connection.is_closed() and not connection.is_in_transaction()
    )


def _prefer_indexes(connection: Any) -> None:
    """Prefer plans that stay fast when the tables grow.

    Tables start empty, and a plan cached then would scan large tables later. A bitmap scan reads
    the rows deleted since the last vacuum every time. An index scan marks them in the index, and
    later scans skip them.
    """
    cursor = connection.cursor()
    cursor.execute("SET plan_cache_mode = force_custom_plan")
    cursor.execute("SET enable_bitmapscan = off")
    cursor.close()
    connection.commit()


def _exchange_jsonb(connection: Any) -> None:
    """Exchange Python values with jsonb, without the texts that SQLAlchemy makes of them."""
    connection.run_async(
        lambda driver: driver.set_type_codec(
            "jsonb",
            schema="pg_catalog",
            format="binary",
            encoder=lambda value: _JSONB_VERSION + orjson.dumps(value),
            decoder=lambda sent: orjson.loads(sent[1:]),
        )
    )


def _note_use(_connection: Any, record: Any) -> None:
    record.info["used_at"] = time.monotonic()
