"""SQLAlchemy's asynchronous engine without its ORM, which the package would import: 6 MB."""

from typing import TYPE_CHECKING

from zenskar.lazy_imports import import_inside

__all__ = ["AsyncConnection", "AsyncEngine", "create_async_engine"]

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
else:
    _engine = import_inside("sqlalchemy.ext.asyncio", "engine")
    AsyncConnection = _engine.AsyncConnection
    AsyncEngine = _engine.AsyncEngine
    create_async_engine = _engine.create_async_engine
