"""Alembic environment: runs in the connection that `zenskar.db.migrate` hands over."""

from alembic import context

from zenskar.db.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
