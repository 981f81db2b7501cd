"""Connections, statements and the embedded PostgreSQL. Nothing here knows a table."""
