"""Every table, for the migrations: the metadata is complete once all of them are defined."""

from zenskar.db.schema import operator_tables, tables, worker_tables
from zenskar.db.schema.columns import metadata

__all__ = ["metadata", "operator_tables", "tables", "worker_tables"]
