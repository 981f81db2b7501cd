"""Connections and the embedded PostgreSQL. No module here knows a table.

Statements off the hot path go through SQLAlchemy, statements on the hot path through asyncpg with
numbered parameters. Rows are a single JSON parameter for `jsonb_to_recordset`: asyncpg inspects
each element of an array, which costs more than the JSON. Ids are arrays. Messages and details
are arrays, too, because PostgreSQL would decode their long texts twice.
"""
